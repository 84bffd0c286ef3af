"""Digests of weights: what they tell apart, and that they mean the same everywhere."""

import pytest
import torch
from torch import nn

from em.errors import InputError
from em.train import weights

KINDS = [None, "tensors"]
GOLDEN = {
    None: "77606ff27a09814777e23ab609c6f86d20686e75bd2c87b1a3865e8cad7f8bc8",
    "tensors": "ee1a9ae107e7267aef895b7a57e3a038f835f1263b1f3e4497d83c6ba1b33a30",
}


class Small(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(3, 2), nn.Linear(2, 3, bias=False)
        with torch.no_grad():
            for place, tensor in enumerate(self.parameters()):
                tensor.copy_(torch.arange(tensor.numel()).reshape(tensor.shape) / 7 + place)


@pytest.mark.parametrize("kind", KINDS)
def test_a_digest_means_the_same_on_every_machine(kind: str | None) -> None:
    assert weights.digest(Small(), kind) == GOLDEN[kind]


@pytest.mark.parametrize("kind", KINDS)
def test_a_digest_tells_bits_types_shapes_and_names_apart(kind: str | None) -> None:
    models = {name: Small() for name in ("same", "bit", "type", "shape", "name")}
    with torch.no_grad():
        models["bit"].a.weight[1, 2] = torch.nextafter(models["bit"].a.weight[1, 2], torch.tensor(9.0))
    models["type"].bfloat16()
    models["shape"].b.weight = nn.Parameter(models["shape"].b.weight.detach().reshape(2, 3))
    models["name"].add_module("c", models["name"].b)
    del models["name"].b
    digests = {name: weights.digest(model, kind) for name, model in models.items()}
    assert digests.pop("same") == weights.digest(Small(), kind)
    assert len({*digests.values(), weights.digest(Small(), kind)}) == 5


def test_tied_weights_count_once_and_views_by_their_values() -> None:
    model, contiguous = Small(), Small()
    model.a.weight = nn.Parameter(contiguous.a.weight.detach().T.contiguous().T)
    assert not model.a.weight.is_contiguous()
    assert weights.digest(model) == weights.digest(contiguous)
    model.add_module("tied", model.a)
    assert weights.digest(model) == weights.digest(contiguous)


def test_a_kind_that_a_newer_version_made_is_said() -> None:
    with pytest.raises(InputError, match="digests of kind 'later': made by a newer version"):
        weights.digest(Small(), "later")
