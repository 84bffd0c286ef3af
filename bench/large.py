"""A model of 53 million weights with a vocabulary of 32,768, pretrained as the tiny one is, once: half an hour."""

from pathlib import Path
from unittest.mock import patch

from em.model.cache import cache_folder
from em.tiny import pretrain
from em.tiny.recipe import Recipe

VOCABULARY = 32_768
RECIPE = Recipe(
    hidden=640,
    layers=6,
    heads=10,
    kv_heads=2,
    intermediate=1920,
    initial_sd=0.04,
    steps=500,
    lr=1e-3,
)


def large_model() -> Path:
    """Its checkpoint folder, in the user's cache."""
    with patch.object(pretrain, "VOCABULARY", VOCABULARY):
        return pretrain.build(RECIPE, cache_folder() / "large")


if __name__ == "__main__":
    print(large_model())
