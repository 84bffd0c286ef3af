"""Training: sample, step, push, measure."""
