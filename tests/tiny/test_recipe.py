"""A recipe names its model by content, refuses nonsense, and nests in a Hydra configuration."""

import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from em.tiny.recipe import Recipe, path


def test_digest_follows_every_field():
    recipes = [Recipe(), Recipe(seed=1), Recipe(lr=1e-3), Recipe(worked=Recipe().worked | {"sum": 0.1})]
    digests = [recipe.digest() for recipe in recipes]
    assert len(set(digests)) == 4
    assert Recipe().digest() == digests[0]
    assert path(Recipe(), Path("cache")) == Path("cache") / f"tiny-{digests[0]}"


def test_digest_survives_hydra():
    @dataclass
    class Model:
        recipe: Recipe = field(default_factory=Recipe)

    config = OmegaConf.merge(OmegaConf.structured(Model), {"recipe": {"worked": {"sum": 0.4}}})
    model = OmegaConf.to_object(config)
    assert isinstance(model, Model)
    assert model.recipe.digest() == Recipe(worked=Recipe().worked | {"sum": 0.4}).digest()


@pytest.mark.parametrize(
    ("field_", "value", "message"),
    [
        ("steps", 0, "model.pretrain.steps=0: give a whole number"),
        ("lr", -1.0, "model.pretrain.lr=-1.0"),
        ("step_error", 1.0, r"model.pretrain.step_error=1.0: give a number in \[0, 1\)"),
        ("heads", 3, "model.pretrain.hidden=64: give a multiple of 2"),
        ("kv_heads", 3, "model.pretrain.kv_heads=3: give a divisor of heads = 2"),
        ("worked", {"sum": 0.5}, "give a share for difference"),
        ("worked", Recipe().worked | {"sun": 0.5}, "did you mean 'sum'"),
        ("direct", Recipe().direct | {"sum": 0.9}, "a sum of at most 1"),
    ],
)
def test_errors_name_field_value_and_remedy(field_, value, message):
    with pytest.raises(ValueError, match=message):
        Recipe(**{field_: value})


def test_recipe_and_tasks_import_without_torch():
    script = "import sys, em.tiny.recipe; sys.exit(not {'torch', 'transformers'}.isdisjoint(sys.modules))"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0
