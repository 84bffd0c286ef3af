"""Searches: Optuna chooses which points of a sweep's space are tried, by the results of those before."""
