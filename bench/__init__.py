"""Measures what README and LOG claim, row by row."""
