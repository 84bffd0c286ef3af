"""Phases, kept states and stabilisers by what records hold: whatever way a trial comes about, it is the same trial."""

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import SafetensorError

from em.cli.inputs import resolve_benchmark, resolve_model
from em.errors import InputError
from em.evaluation import graders
from em.evaluation.graders import Entry, Grade
from em.store import Store
from em.store.record import Record, Status
from em.train import weights
from em.train.entropy import EntropyMinimisation
from em.train.grpo import Grpo
from em.train.local import LocalPolicy
from em.train.sampling import Sampling, turns
from em.train.stabilisers.averaging import Averaging
from em.train.stabilisers.entropy_stop import EntropyStop
from em.train.stabilisers.token_floor import TokenFloor
from em.train.stabilisers.trust_region import TrustRegion, kl_to_base
from em.train.trainer import Trainer
from em.trial.evaluation import Benchmark, Evaluation, Texts
from em.trial.method import Tokens
from em.trial.model import Model
from em.trial.optimizer import Optimizer
from em.trial.prompts import Prompts
from em.trial.rollout import EngineConfig, EngineName, Rollout
from em.trial.stabiliser import Stabiliser
from em.trial.trial import Earlier, Phase, Trial
from em.trial.unit import Keep, Measurement, Unit, united
from tests.trials import NOT_REPRODUCED, one_phase, run

SUM = resolve_benchmark(Benchmark(name="sum", suite="sum", limit=3, max_new_tokens=8, grader="tiny"))
EVALUATION = Evaluation(benchmark=SUM, temperature=1.0, top_p=1.0, samples=2, seed=0)
SAMPLING = Rollout(samples=8, samples_per_prompt=4, temperature=1.0, max_new_tokens=8)


def starts_low(text: str, reference: str) -> Grade:
    """A reward that a random model gets now and then."""
    return Grade(correct=text[:1] < reference, extracted=text[:1])


@pytest.fixture(autouse=True, scope="module")
def a_grader() -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(graders.GRADERS, "starts_low", Entry(f"{__name__}:starts_low", instant=True))
        yield


@pytest.fixture(scope="module")
def em(checkpoint: Callable[..., Path]) -> Trial:
    """Four prompts, two a step."""
    return one_phase(
        resolve_model(Model(path=str(checkpoint(tied=True)))),
        Prompts(texts=["3+8+5+2?", "1?", "2+2?", "5*7?"]),
        EngineConfig(engine=EngineName.transformers, max_num_seqs=64),
        optimizer=Optimizer(lr=1e-3),
        rollout=SAMPLING,
    )


@pytest.fixture(scope="module")
def rl(em: Trial) -> Phase:
    prompts = Prompts(texts=["7+1?", "2?", "4+4?"], answers=["P", "P", "q"], grader="starts_low")
    return Phase(prompts=prompts, objective=Grpo(iterations=2), optimizer=Optimizer(lr=3e-3), rollout=SAMPLING)


@pytest.fixture(scope="module")
def trainer(em: Trial, keep: Callable[[Trainer], Trainer]) -> Trainer:
    return keep(Trainer(em.model, em.engine))


@pytest.fixture(scope="module")
def fresh(em: Trial, keep: Callable[[Trainer], Trainer]) -> Callable[[], Trainer]:
    """A new Trainer, as a process of its own would have it."""
    return lambda: keep(Trainer(em.model, em.engine))


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path)


def unit(trial: Trial, *steps: int, **fields: Any) -> Unit:
    return Unit(trial, tuple(Measurement(step, EVALUATION) for step in steps), **fields)


def with_phase(trial: Trial, **changes: Any) -> Trial:
    assert trial.phase is not None
    return dataclasses.replace(trial, phase=dataclasses.replace(trial.phase, **changes))


def with_stabilisers(trial: Trial, *stabilisers: Stabiliser) -> Trial:
    return with_phase(trial, stabilisers={item.name: item for item in stabilisers})


def after(trial: Trial, phase: Phase, steps: int, seed: int = 0) -> Trial:
    return dataclasses.replace(trial, before=(*trial.before, Earlier(phase=phase, steps=steps, seed=seed)))


def reproduced(record: Record) -> dict[str, Any]:
    return {name: value for name, value in dataclasses.asdict(record).items() if name not in NOT_REPRODUCED}


def by_name(record: Record, name: str) -> list[float]:
    return [metric.value for metric in record.metrics if metric.name == name]


# --- which prompts a step takes


@pytest.mark.parametrize(("samples", "each", "prompts"), [(6, 1, 10), (6, 2, 7), (64, 1, 17), (8, 4, 2), (4, 4, 3)])
def test_prompts_are_drawn_without_replacement_in_an_order_of_the_seed(samples, each, prompts):
    """Every prompt once before any twice; each time around in another order; another seed, another order."""
    rollout, steps = Rollout(samples=samples, samples_per_prompt=each), 40
    taken = [turns(rollout, prompts, 3, step) for step in range(1, steps + 1)]
    assert all(len(of_step) == samples for of_step in taken)
    groups = [of_step[place] for of_step in taken for place in range(0, samples, each)]
    assert [prompt for of_step in taken for prompt in of_step] == [prompt for prompt in groups for _ in range(each)]
    rounds = [tuple(groups[first : first + prompts]) for first in range(0, len(groups) - prompts + 1, prompts)]
    assert all(sorted(around) == list(range(prompts)) for around in rounds)
    assert len(set(rounds)) > 1
    assert taken != [turns(rollout, prompts, 4, step) for step in range(1, steps + 1)]


def test_every_order_is_as_likely():
    rollout, seeds = Rollout(samples=1, samples_per_prompt=1), 3000
    firsts = [turns(rollout, 3, seed, 1)[0] for seed in range(seeds)]
    for prompt in range(3):
        assert abs(firsts.count(prompt) / seeds - 1 / 3) < 4 * (2 / 9 / seeds) ** 0.5


def test_samples_per_prompt_has_to_divide_the_samples():
    with pytest.raises(InputError, match=r"rollout.samples_per_prompt=3: must divide rollout.samples=8, or be 0"):
        Rollout(samples=8, samples_per_prompt=3)


def test_multi_shot_records_which_prompts_and_how_long(trainer, em):
    record = run(trainer, unit(em, 4))
    for step in range(1, 5):
        samples = [sample for sample in record.rollouts if sample.step == step]
        assert [sample.prompt for sample in samples] == turns(SAMPLING, 4, 0, step)
        lengths = [len(record.prompts[sample.prompt]) for sample in samples]
        assert by_name(record, "prompt_length")[step - 1] == sum(lengths) / 8
    assert record.steps[0].mean_length == sum(len(s.token_ids) for s in record.rollouts if s.step == 1) / 8


# --- GRPO


@pytest.mark.parametrize("texts", list(Texts))
def test_grpo_records_rewards_and_what_the_grader_read(trainer, em, rl, texts):
    trial = dataclasses.replace(em, phase=rl)
    measured = Measurement(3, dataclasses.replace(EVALUATION, texts=texts))
    record = run(trainer, Unit(trial, (measured,)))
    for step in (1, 2, 3):
        samples = [sample for sample in record.rollouts if sample.step == step]
        read = trainer.reader.decode([sample.token_ids for sample in samples])
        rewards = [starts_low(text, rl.prompts.answers[s.prompt]) for text, s in zip(read, samples, strict=True)]
        assert [sample.reward for sample in samples] == [float(grade.correct is True) for grade in rewards]
        assert [sample.extracted for sample in samples] == [grade.extracted for grade in rewards]
        first = [k == 0 or samples[k - 1].prompt != sample.prompt for k, sample in enumerate(samples)]
        kept = {"all": read, "sample": [t if f else None for t, f in zip(read, first, strict=True)], "none": [None] * 8}
        assert [sample.text for sample in samples] == kept[texts.value]
        assert by_name(record, "reward")[step - 1] == sum(s.reward or 0 for s in samples) / 8
    assert {0.0, 1.0} == {sample.reward for sample in record.rollouts}
    assert all(kl >= 0 for kl in by_name(record, "kl"))
    assert by_name(record, "kl")[-1] > 1e-6
    assert by_name(record, "ungraded") == [0.0] * 3


def test_rewards_are_computed_while_other_samples_are_decoded(trainer, em, rl, monkeypatch):
    order: list[str] = []
    stream = trainer.evaluator.sampler.stream

    def watched(requests: Any, logprobs: bool = False) -> Any:
        for index, answers in stream(requests, logprobs):
            order.append(f"sampled {len(requests)}")
            yield index, answers

    submit = trainer.evaluator.pool.submit_all
    monkeypatch.setattr(trainer.evaluator.sampler, "stream", watched)
    monkeypatch.setattr(trainer.evaluator.pool, "submit_all", lambda *a: (order.append("grading"), submit(*a))[1])
    sampling = Sampling(trainer.evaluator, Texts.none)
    trial = dataclasses.replace(em, phase=rl)
    sampling.samples(trial, rl, [[1, 2], [3], [4]], 1, lambda: None)
    assert order == ["sampled 2", "grading", "sampled 2", "grading"]


def test_a_second_update_meets_a_ratio_and_the_old_policy(trainer, em, rl):
    """With one iteration the loss is that of centred advantages; two change the weights more."""
    one = dataclasses.replace(em, phase=dataclasses.replace(rl, objective=Grpo()))
    two = dataclasses.replace(em, phase=rl)
    first, second = run(trainer, unit(one, 1)), run(trainer, unit(two, 1))
    assert first.rollouts == second.rollouts
    assert first.steps == second.steps  # of the first update
    assert first.digests != second.digests
    assert by_name(first, "clipped") == [0.0]
    assert by_name(first, "kl") == [0.0]  # the weights before the first update are the base's
    assert by_name(second, "kl")[0] > 0


# --- phases, and states that are kept


def killed(trainer: Trainer, of: Unit, store: Store, at: int, phase: int = 0) -> None:
    """Work at a unit and be killed when it says for the last time that it is at that step."""

    class Killed(BaseException):
        pass

    def on_step(step: int | None) -> None:
        if step == at:
            raise Killed

    with pytest.raises(Killed):
        trainer.run(of, on_step, {}, store.states)


@pytest.mark.parametrize("at", range(1, 8))
def test_a_trial_that_is_killed_goes_on_and_its_record_is_the_undisturbed_one(trainer, em, rl, store, at):
    trial = after(dataclasses.replace(em, phase=rl), em.phase, 2)
    of = unit(trial, 2, 5, 7, keep=Keep(every=2))
    undisturbed = run(trainer, of)
    killed(trainer, of, store, at)
    steps: list[int] = []
    done = trainer.run(of, steps.append, {}, store.states)
    made = dataclasses.replace(undisturbed, **vars(done.trajectory))
    assert reproduced(made) == reproduced(undisturbed)
    written = max((step for step in (2, 4, 6) if step < at), default=None)
    assert done.resumed == written
    assert written is None or min(steps) >= written


def test_another_process_goes_on_bit_for_bit(fresh, trainer, em, store):
    """With an average, an optimiser that remembers, and nothing in memory."""
    of = unit(with_stabilisers(em, Averaging(steps=3)), 3, 6, keep=Keep(every=2))
    undisturbed = run(trainer, of)
    killed(trainer, of, store, 5)
    done = fresh().run(of, lambda step: None, {}, store.states)
    assert done.resumed == 4
    assert reproduced(dataclasses.replace(undisturbed, **vars(done.trajectory))) == reproduced(undisturbed)


@pytest.mark.parametrize("damage", ["cut", "other weights", "gone", "no parquet"])
def test_a_damaged_state_costs_time_and_nothing_else(trainer, em, store, damage):
    of = unit(em, 3, keep=Keep(every=1))
    undisturbed = run(trainer, of)
    killed(trainer, of, store, 3)
    [state] = (store.root / "states" / "unfinished").glob("*/*.safetensors")
    if damage == "cut":
        state.write_bytes(state.read_bytes()[:-100])
    elif damage == "other weights":
        content = bytearray(state.read_bytes())
        content[-1] ^= 1
        state.write_bytes(bytes(content))
    elif damage == "gone":
        state.unlink()
    else:
        next(state.parent.glob("*.parquet")).write_bytes(b"PAR1")
    done = trainer.run(of, lambda step: None, {}, store.states)
    assert done.resumed is None
    assert reproduced(dataclasses.replace(undisturbed, **vars(done.trajectory))) == reproduced(undisturbed)


def test_a_committed_unit_leaves_no_state(trainer, em, store):
    of = unit(em, 3, keep=Keep(every=1))
    killed(trainer, of, store, 3)
    assert store.commit(run(trainer, of))
    assert store.files.list("states/unfinished") == []


def test_nothing_is_written_where_nothing_is_asked_for(trainer, em, store):
    trainer.run(unit(em, 4, keep=Keep(every=0)), lambda step: None, {}, store.states)
    trainer.run(unit(em, 4, keep=Keep(every=4)), lambda step: None, {}, store.states)  # the end is the record's
    assert store.files.list("states") == []


class Asked(list[int]):
    """Steps that are sampled, not replayed."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        samples = Sampling.samples

        def counted(sampling: Sampling, trial: Trial, phase: Phase, prompts: Any, step: int, alive: Any) -> Any:
            self.append(step)
            return samples(sampling, trial, phase, prompts, step, alive)

        monkeypatch.setattr(Sampling, "samples", counted)


@pytest.mark.parametrize("way", ["state", "memory", "replay", "sampling"])
def test_a_phase_starts_where_the_one_before_ended_whatever_the_way_there(
    fresh, trainer, em, rl, store, monkeypatch, way
):
    """From a kept state, from what the lane has in memory, by replaying tokens, or by sampling again."""
    trial = after(em, rl, 3, seed=5)
    origin, steps = trial.origin
    first = unit(origin, steps, ends=(steps,), keep=Keep(states=way == "state"))
    expected = run(trainer, unit(trial, 2))
    worker = fresh()
    done = worker.run(first, lambda step: None, {}, store.states)
    recorded = run(trainer, first)
    assert (len(store.files.list("states/ends")) == 1) is (way == "state")
    if way != "memory":
        worker = fresh()
    asked = Asked(monkeypatch)
    made = worker.run(
        unit(trial, 2, keep=Keep(states=False)),
        lambda step: None,
        {origin.id: recorded} if way == "replay" else {},
        store.states,
    )
    assert asked == ([1, 2, 3, 1, 2] if way == "sampling" else [1, 2])
    assert reproduced(dataclasses.replace(expected, **vars(made.trajectory))) == reproduced(expected)
    assert made.trajectory.digests[0].sha256 == done.trajectory.digests[-1].sha256


def test_a_kept_state_that_is_not_what_was_measured_is_not_used(trainer, fresh, em, rl, store):
    """Of another attempt, whose numbers differ: the recorded tokens lead to the recorded weights."""
    trial = after(em, rl, 2)
    origin, steps = trial.origin
    recorded = run(trainer, unit(origin, steps))
    other = dataclasses.replace(origin, seed=9)
    trainer.run(unit(other, 2, ends=(2,), keep=Keep()), lambda step: None, {}, store.states)
    [name] = store.files.list("states/ends")
    store.files.move(f"states/ends/{name}", f"states/ends/{origin.id}-2.safetensors")
    made = fresh().run(unit(trial, 1), lambda step: None, {origin.id: recorded}, store.states)
    assert made.trajectory.digests[0].sha256 == recorded.digests[-1].sha256


def test_three_phases_go_on_from_the_furthest_that_is_kept(trainer, fresh, em, rl, store, monkeypatch):
    trial = after(after(em, rl, 2), em.phase, 1, seed=4)
    (first, first_steps), _ = trial.path
    expected = run(trainer, unit(trial, 1))
    worker = fresh()
    worker.run(unit(first, first_steps, ends=(first_steps,)), lambda step: None, {}, store.states)
    worker = fresh()
    asked = Asked(monkeypatch)
    made = worker.run(unit(trial, 1), lambda step: None, {}, store.states)
    assert asked == [1, 1]  # of the second phase, and of the third
    assert reproduced(dataclasses.replace(expected, **vars(made.trajectory))) == reproduced(expected)


def test_what_starts_from_a_diverged_phase_diverges_with_it(trainer, em, rl):
    """It does not train that phase again: elsewhere it might not diverge."""
    wild = dataclasses.replace(rl, optimizer=Optimizer(lr=1e30))
    trial = after(em, wild, 3)
    origin, steps = trial.origin
    recorded = run(trainer, unit(origin, steps))
    assert recorded.status is Status.diverged
    made = trainer.run(unit(trial, 2), lambda step: None, {origin.id: recorded})
    assert made.trajectory.status is Status.diverged
    assert made.trajectory.error == f"the phase before, trial {origin.id}: {recorded.error}"
    assert made.trajectory.steps == []


def test_states_that_cannot_be_written_fail_nothing(trainer, em, store, monkeypatch):
    def full(*_: Any, **__: Any) -> None:
        raise SafetensorError("No space left on device")

    monkeypatch.setattr(weights, "save_file", full)
    done = trainer.run(unit(em, 4, ends=(4,), keep=Keep(every=1)), lambda step: None, {}, store.states)
    assert done.trajectory.status is Status.done
    assert store.files.list("states/ends") == []
    assert not list((store.root / "states" / "unfinished").glob("*/*"))


def test_a_drifted_replay_leaves_no_state_to_go_on_from(trainer, em, store):
    """Else what is measured anew would go on from the tokens of the other attempt."""
    recorded = run(trainer, unit(em, 4))
    recorded.steps[2] = dataclasses.replace(recorded.steps[2], loss=9.0)
    again = unit(em, 4, source="elsewhere", whole=unit(em, 4).measurements, keep=Keep(every=1))
    done = trainer.run(again, lambda step: None, {em.id: recorded}, store.states)
    assert (done.unit.source, done.resumed) == ("", None)
    assert done.trajectory.steps == run(trainer, unit(em, 4)).steps


def test_units_of_one_trial_are_one(em):
    one, two = unit(em, 2), unit(em, 2, 5, ends=(2,))
    other = unit(em.with_seed(1), 3)
    made = united([one, other, two])
    assert [len(item.measurements) for item in made] == [2, 1]
    assert made[0].ends == (2,)
    assert made[0].id == two.id


# --- stabilisers


def tokens(**values: Sequence[float]) -> Tokens:
    given = {f"{name}_N": torch.tensor(value) for name, value in values.items()}
    ones = torch.ones_like(given["entropy_N"])
    return Tokens(**({"logprob_N": -ones, "weight_N": ones, "advantage_N": ones, "old_logprob_N": -ones} | given))


def test_tokens_below_the_floor_have_no_gradient():
    of = tokens(entropy=[0.01, 0.05, 0.2], weight=[0.5, 0.5, 0.5])
    floor = TokenFloor(floor=0.05)
    terms = floor.terms(of, EntropyMinimisation().terms(of))
    assert terms.tolist() == pytest.approx([0.0, 0.025, 0.1])
    assert floor.observed(of)["tokens_below_floor"].tolist() == [1, 0, 0]


def test_the_trust_region_adds_the_divergence():
    of = tokens(
        entropy=[0.5, 0.5],
        logprob=[-1.0, -2.0],
        old_logprob=[-1.0, -2.0],
        base_logprob=[-1.5, -1.0],
        weight=[0.25, 0.5],
    )
    expected = [(b - p) for p, b in ((-1.0, -1.5), (-2.0, -1.0))]
    kl = [torch.tensor(gap).exp().item() - gap - 1 for gap in expected]
    assert kl_to_base(of).tolist() == pytest.approx(kl)
    terms = TrustRegion(coefficient=2.0).terms(of, torch.zeros(2))
    assert terms.tolist() == pytest.approx([2 * 0.25 * kl[0], 2 * 0.5 * kl[1]])


def test_stabilisers_change_a_training_and_its_id(trainer, em):
    plain = run(trainer, unit(em, 3))
    held = run(trainer, unit(with_stabilisers(em, TrustRegion(coefficient=50.0)), 3))
    assert held.trial_id != plain.trial_id
    assert held.steps[0].entropy == plain.steps[0].entropy
    assert by_name(held, "kl")[0] == 0
    loose = run(trainer, unit(with_stabilisers(em, TrustRegion(coefficient=1e-9)), 3))
    assert 0 < by_name(held, "kl")[-1] < by_name(loose, "kl")[-1]


def test_training_stops_at_the_floor_and_what_is_measured_later_is_the_same_model(trainer, em):
    plain = run(trainer, unit(em, 4))
    floor = plain.steps[1].entropy * 1.0001
    stopped = run(trainer, unit(with_stabilisers(em, EntropyStop(floor=floor)), 1, 3, 5))
    last = next(metrics.step for metrics in plain.steps if metrics.entropy < floor)
    assert [metrics.step for metrics in stopped.steps] == list(range(1, last + 1))
    assert by_name(stopped, "stopped") == [1.0]
    digests = {digest.step: digest.sha256 for digest in stopped.digests}
    assert digests[3] == digests[5]
    results = {result.step: result.extracted for result in stopped.evaluations}
    assert results[3] == results[5]
    again = trainer.run(unit(stopped_trial(em, floor), 1, 3, 5), lambda step: None, {stopped.trial_id: stopped})
    assert again.replayed == stopped.provenance.attempt_id


def stopped_trial(em: Trial, floor: float) -> Trial:
    return with_stabilisers(em, EntropyStop(floor=floor))


def test_the_average_is_what_is_measured_and_training_goes_on_without_it(trainer, em, monkeypatch):
    """A mean of three steps, then an exponential one; the samples are those of plain training."""
    policy = trainer.policy
    assert isinstance(policy, LocalPolicy)
    seen: list[dict[str, torch.Tensor]] = []
    average = LocalPolicy.average

    def watched(self: LocalPolicy, steps: int) -> None:
        seen.append(weights.copy_of(self.model))
        average(self, steps)

    monkeypatch.setattr(LocalPolicy, "average", watched)
    measured: list[dict[str, torch.Tensor]] = []
    measure = trainer.evaluator.measure

    def look(*arguments: Any) -> Any:
        measured.append(weights.copy_of(policy.model))
        return measure(*arguments)

    monkeypatch.setattr(trainer.evaluator, "measure", look)
    record = run(trainer, unit(with_stabilisers(em, Averaging(steps=3)), 2, 3, 5))
    monkeypatch.undo()
    assert record.status is Status.done
    assert record.rollouts == run(trainer, unit(em, 5)).rollouts
    for name in seen[0]:
        first = [copy[name] for copy in seen]
        mean = sum(first[:3]) / 3
        torch.testing.assert_close(measured[0][name], (first[0] + first[1]) / 2)
        torch.testing.assert_close(measured[1][name], mean)
        for weight in first[3:]:
            mean = mean + (weight - mean) / 3
        torch.testing.assert_close(measured[2][name], mean)


def test_an_average_ends_with_its_trial(trainer, em):
    """The base model that is measured next is the base model."""
    base = run(trainer, unit(em.base, 0))
    run(trainer, unit(with_stabilisers(em, Averaging(steps=3)), 3))
    assert reproduced(run(trainer, unit(em.base, 0))) == reproduced(base)


def test_the_order_of_stabilisers_is_no_matter(em):
    """Their trial has one id."""
    of = tokens(entropy=[0.01, 0.5], base_logprob=[-2.0, -2.0])
    floor, region = TokenFloor(), TrustRegion()
    one, two = (with_stabilisers(em, *order).phase for order in ((floor, region), (region, floor)))
    assert one is not None
    assert two is not None
    assert one.method.terms(of).tolist() == two.method.terms(of).tolist()


def test_a_phase_after_an_averaged_one_starts_from_the_average(fresh, trainer, em, store):
    """From the state, and by training."""
    averaged = with_stabilisers(em, Averaging(steps=2))
    assert averaged.phase is not None
    trial = after(em, averaged.phase, 3)
    origin, steps = trial.origin
    expected = run(trainer, unit(trial, 1))
    recorded = run(trainer, unit(origin, steps))
    assert expected.digests[0].sha256 == recorded.digests[-1].sha256
    fresh().run(unit(origin, steps, ends=(steps,)), lambda step: None, {}, store.states)
    made = fresh().run(unit(trial, 1), lambda step: None, {}, store.states)
    assert reproduced(dataclasses.replace(expected, **vars(made.trajectory))) == reproduced(expected)


def test_gradients_of_several_steps_make_one_update(trainer, em):
    """Two accumulated steps of half the samples: the weights change once, by the mean of their gradients."""
    half = with_phase(em, optimizer=Optimizer(lr=1e-3, accumulate=2), rollout=dataclasses.replace(SAMPLING, samples=4))
    record = run(trainer, unit(half, 0, 1, 2, 3))
    digests = [digest.sha256 for digest in record.digests]
    assert digests[0] == digests[1] != digests[2] == digests[3]
