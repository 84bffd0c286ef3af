"""The embedded default model: a small Qwen3 that the project pretrains itself on synthetic arithmetic."""
