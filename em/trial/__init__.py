"""What a trial is and what is measured of it: plain dataclasses, their ids, and the data files that they name.

Nothing here loads torch or vLLM: planning, status and analysis run on login nodes.  YAML (conf/) only picks values;
every check is here and names field, value and remedy.
"""
