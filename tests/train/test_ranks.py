"""A policy of two ranks beside one of one: the same samples, numbers and weights, and nothing left of a dead rank.

Sums over ranks are of other orders than those of one: numbers agree to TOLERANCE and weights to WEIGHTS, a fiftieth of
what a step of the optimiser moves them by.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from em.cli.inputs import resolve_model
from em.errors import InputError
from em.evaluation.statistics import AnswerStatistics
from em.rollout import Completion, Request
from em.train import group as groups
from em.train import weights
from em.train.entropy import EntropyMinimisation
from em.train.group import Group, divided, open_policy
from em.train.grpo import Grpo
from em.train.local import LocalPolicy
from em.train.policy import Policy, Update
from em.trial.evaluation import Statistics
from em.trial.method import Method
from em.trial.model import Model
from em.trial.optimizer import Optimizer
from em.trial.rollout import EngineConfig, EngineName
from em.trial.sample import Sample

TOLERANCE, WEIGHTS = 2e-5, 2e-5  # relative, seen 3e-6; absolute, seen 2e-6
PROMPTS = [list(range(1, 9)), [70, 3, 200]]
REQUESTS = [
    Request(prompt=PROMPTS[0], seed=3 << 20, samples=7, max_new_tokens=8),
    Request(prompt=PROMPTS[1], seed=4 << 20, samples=2, max_new_tokens=12, temperature=0.7),
    Request(prompt=PROMPTS[1], seed=5 << 20, samples=1, max_new_tokens=8),
    Request(prompt=PROMPTS[0], seed=0, samples=3, max_new_tokens=8, temperature=0),
]


@dataclass
class Course:
    """What a policy says of itself on the way."""

    base: str
    answers: list[list[Completion]]
    updates: list[Update]
    trained: dict[str, Tensor]
    mean: dict[str, Tensor]
    entropies: list[float]
    state: Path


def samples_of(answers: Sequence[list[Completion]]) -> list[Sample]:
    """All answers to the first two requests, every other one right."""
    pairs = [(prompt, answer) for prompt in (0, 1) for answer in answers[prompt]]
    return [
        Sample(step=1, prompt=prompt, token_ids=of.token_ids, truncated=of.truncated, reward=float(k % 2))
        for k, (prompt, of) in enumerate(pairs)
    ]


def follow(policy: Policy, folder: Path) -> Course:
    """Each from the base weights: EM; EM that accumulates, and in which one rank has nothing; GRPO of two updates."""
    base, answers = policy.digest(), policy.generate(REQUESTS, logprobs=True)
    samples, updates = samples_of(answers), list[Update]()
    few: dict[str, Any] = {"micro_batch_tokens": 30}
    courses: list[tuple[Method, Optimizer, list[Sample]]] = [
        (EntropyMinimisation(), Optimizer(lr=1e-3), samples),
        (EntropyMinimisation(**few), Optimizer(lr=1e-3, accumulate=2), samples[:1]),
        (Grpo(iterations=2, kl_coefficient=0.01, **few), Optimizer(lr=1e-3), samples),
    ]
    trained = dict[str, Tensor]()
    for method, optimizer, of_step in courses:
        policy.restore()
        policy.begin(optimizer)
        for _ in range(4):
            updates.append(policy.step(PROMPTS, of_step, method, 1.0))
            policy.average(3)
        assert policy.are_finite()
        found = weights_of(policy, folder / "trained")
        trained |= {f"{len(updates)} {name}": tensor for name, tensor in found.items()}
    with policy.averaged() as is_average:
        assert is_average
        mean = weights_of(policy, folder / "mean")
        policy.mark("mean")
    assert policy.recall("mean")
    policy.push()
    statistics = AnswerStatistics(len(samples), 12, Statistics.tokens)
    policy.look(PROMPTS, samples, statistics)
    policy.save(folder / "state", resumable=True)
    return Course(base, answers, updates, trained, mean, statistics.fields()["entropies"], folder / "state")


def weights_of(policy: Policy, path: Path) -> dict[str, Tensor]:
    policy.save(path, resumable=False)
    groups, digest = weights.load(path)
    assert digest == policy.digest()
    return groups["weights"]


@pytest.fixture(scope="module")
def model(checkpoint: Callable[..., Path]) -> Model:
    return resolve_model(Model(path=str(checkpoint(tied=True))))


@pytest.fixture(scope="module", params=["transformers", pytest.param("vllm", marks=pytest.mark.slow)])
def engine(request: pytest.FixtureRequest) -> EngineConfig:
    if request.param == "vllm":
        pytest.importorskip("vllm", reason="vLLM does not import here", exc_type=ImportError)
    return EngineConfig(engine=EngineName(request.param), max_num_seqs=64)


@pytest.fixture(scope="module")
def alone(model: Model, engine: EngineConfig, tmp_path_factory: pytest.TempPathFactory) -> Course:
    """One rank, which ends before the two begin: a process is of one group."""
    policy = open_policy(Path(model.path), replace(model, ranks=1), engine)
    assert isinstance(policy, LocalPolicy)
    course = follow(policy, tmp_path_factory.mktemp("alone"))
    policy.close()
    return course


@pytest.fixture(scope="module")
def two(alone: Course, model: Model, engine: EngineConfig) -> Iterator[Group]:
    policy = open_policy(Path(model.path), replace(model, ranks=2), engine)
    assert isinstance(policy, Group)
    yield policy
    children = [popen for _, popen in policy.others.values()]
    policy.close()
    assert all(popen.wait(10) for popen in children)


@pytest.fixture(scope="module")
def together(two: Group, tmp_path_factory: pytest.TempPathFactory) -> Course:
    return follow(two, tmp_path_factory.mktemp("together"))


def test_samples_are_those_of_one_by_index(alone: Course, together: Course) -> None:
    for one, both in zip(alone.answers, together.answers, strict=True):
        assert [answer.token_ids for answer in both] == [answer.token_ids for answer in one]
        for first, second in zip(one, both, strict=True):
            assert second.logprobs == pytest.approx(first.logprobs, abs=1e-5)


def test_numbers_are_those_of_one_but_for_rounding(alone: Course, together: Course) -> None:
    assert len(together.updates) == 12
    for one, both in zip(alone.updates, together.updates, strict=True):
        assert both.tokens == one.tokens
        for name in ("loss", "entropy", "logprob", "grad_norm"):
            assert getattr(both, name) == pytest.approx(getattr(one, name), rel=TOLERANCE, abs=TOLERANCE)
        assert dict(both.observed) == pytest.approx(dict(one.observed), rel=TOLERANCE, abs=TOLERANCE)
    assert together.entropies == pytest.approx(alone.entropies, rel=1e-3)


def test_weights_are_those_of_one_but_for_rounding(alone: Course, together: Course) -> None:
    for one, both in ((alone.trained, together.trained), (alone.mean, together.mean)):
        assert both.keys() == one.keys()
        assert max(float((both[name] - one[name]).abs().max()) for name in one) < WEIGHTS
    moved = torch.cat([(alone.trained[f"12 {name}"] - alone.mean[name]).abs().flatten() for name in alone.mean])
    assert moved.mean() > 10 * WEIGHTS


def test_a_digest_is_that_of_one_for_equal_weights(alone: Course, together: Course, two: Group) -> None:
    assert together.base == alone.base
    assert two.load(alone.state)
    assert two.digest() == weights.load(alone.state)[1]
    two.restore()
    assert two.digest() == alone.base


def test_a_state_goes_on_as_if_nothing_had_been(together: Course, two: Group) -> None:
    """Optimiser and average are in it: the next step is the same, bit by bit."""
    samples, numbers = samples_of(together.answers), []
    for _ in range(2):
        two.begin(Optimizer(lr=1e-3))
        assert two.load(together.state)
        update = two.step(PROMPTS, samples, EntropyMinimisation(), 1.0)
        two.average(3)
        with two.averaged():
            numbers.append((update, two.digest()))
    assert numbers[0] == numbers[1]
    damaged = together.state.with_name("damaged")
    damaged.write_bytes(together.state.read_bytes()[:-9])
    assert not two.load(damaged)
    two.restore()


def test_a_push_reaches_every_engine(alone: Course, together: Course, two: Group) -> None:
    two.restore()
    two.push()
    ids, logprobs = two.fingerprint()
    assert ids[:4] == ids[4:]
    assert logprobs[:4] == logprobs[4:]
    assert [answer.token_ids for answer in two.generate(REQUESTS)[0]] == [of.token_ids for of in alone.answers[0]]
    two.load(alone.state)
    two.push()
    assert two.fingerprint() != (ids, logprobs)
    two.restore()
    two.push()
    assert two.fingerprint() == (ids, logprobs)


def test_who_stops_reading_leaves_nothing_behind(two: Group) -> None:
    for _ in two.stream(REQUESTS):
        break
    assert len(two.generate(REQUESTS)) == len(REQUESTS)


def test_an_error_of_another_rank_is_raised_here(two: Group) -> None:
    two._tell(1, "no_such_verb")
    with pytest.raises(RuntimeError, match=r"(?s)rank 1 failed:.*no_such_verb"):
        two._finish()
    with pytest.raises(AttributeError):  # at both
        two._together("no_such_verb")
    assert two.are_finite()


def test_how_a_request_is_divided() -> None:
    request = REQUESTS[0]  # seven samples
    parts = divided(request, 0, 3)
    assert [(rank, part.seed - request.seed, part.samples) for rank, part in parts.items()] == [
        (0, 0, 2),
        (1, 2, 2),
        (2, 4, 3),
    ]
    assert divided(replace(request, samples=2), 4, 3).keys() == {1}
    assert divided(replace(request, temperature=0.0), 5, 3) == {2: replace(request, temperature=0.0)}


def test_ranks_are_no_identity(model: Model) -> None:
    assert replace(model, ranks=2).identity() == model.identity()
    with pytest.raises(InputError, match=r"model\.ranks=-1"):
        replace(model, ranks=-1)


def test_each_rank_needs_a_gpu_where_there_are_some(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with pytest.raises(InputError, match=r"model\.ranks=3: .*set cluster\.gpus_per_lane=3"):
        open_policy(Path(model.path), replace(model, ranks=3), EngineConfig())
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,7")
    assert groups.own_gpu(1) == {"CUDA_VISIBLE_DEVICES": "7"}
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    assert groups.own_gpu(1) == {"CUDA_VISIBLE_DEVICES": "1"}
