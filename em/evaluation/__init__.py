"""Measuring a model: problems, answers sampled as one batch, graders."""
