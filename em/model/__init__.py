"""The base model: which checkpoints can be trained, and how one is read."""
