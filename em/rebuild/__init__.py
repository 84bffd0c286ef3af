"""The weights of a recorded trial again, from the tokens that it was trained on: in place of checkpoints."""
