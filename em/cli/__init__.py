"""What the commands share: composing a config, running a trial in this process, saying what went wrong."""
