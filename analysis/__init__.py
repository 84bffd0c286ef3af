"""Records to tables, tables to figures and findings.  `analysis.load("results")` is where a notebook begins."""

from analysis.tables import Tables, load

__all__ = ["Tables", "load"]
