"""The embedded default model: a small Qwen2 that the project pretrains itself on synthetic arithmetic."""
