"""One trial in the terminal: `python -m analysis.show`."""
