"""The quote: amounts exactly, times from records of like trials or from a stated model, pilots, what is dear."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from em.errors import InputError
from em.store import Store
from em.store.record import Record, StepSeconds
from em.trial.unit import Unit
from sweeps import expand, pilot
from sweeps.amounts import Amounts
from sweeps.config import Launch, compose_launch
from sweeps.costs import Costs, kind_of, line, observations
from sweeps.plan import plan
from sweeps.quote import Quote, quote, said
from sweeps.requests import Requests, requests
from sweeps.stated import GPUS, Stated
from tests.near_empty import Trainer
from tests.trials import run

ANSWERS = 6 * 20 * 8  # of a measurement of the tiny world


def launch(*words: str) -> Launch:
    return compose_launch(["sweep=temperature", "cluster.lanes=2", *words])


def record(unit: Unit, sample: float = 0.2, train: float = 0.1, push: float = 0.01, evaluation: float = 1.5) -> Record:
    """A record whose every step, and whose measurements together, took so many seconds."""
    made = run(Trainer(unit.trial.model, unit.trial.engine), unit)
    for result in made.evaluations:
        result.problems, result.samples = 20, 8
    made.seconds = [StepSeconds(step=item.step, sample=sample, train=train, push=push) for item in made.steps]
    took = len(made.steps) * (sample + train + push) + evaluation
    made.provenance = replace(made.provenance, seconds=took, turnover_seconds=0.05)
    return made


def quoted(store: Store, *words: str) -> Quote:
    config = launch(*words)
    return quote(config, plan(config, store), store)


def trained(config: Launch, count: int, turn: int = 0) -> Sequence[Unit]:
    units = [unit for unit in expand.units(config) if not unit.trial.is_base and unit.turn == turn]
    return units[:count]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "results")


def test_tokens_are_counted_exactly(store):
    made = quoted(store)
    a_trial = 10 * 64 * 24
    assert made.tokens == {"sampled": 128 * a_trial, "trained": 128 * a_trial, "evaluated": 129 * ANSWERS * 24}
    assert (made.units, made.measured, made.lanes, made.gpus) == (129, 0, 2, 0.0)
    counted = {"trials": 128, "base models": 1, "steps": 1280, "replayed": 0, "measurements": 129 * 6}
    assert made.work == counted | {"answers": 129 * ANSWERS}
    assert made.runs == 8 + 1 + 1  # cells, monitor, curve


def test_requests_to_a_bucket_are_counted_and_priced():
    config = launch("store=s3://bucket/results", "budget.put_price=0.01", "budget.get_price=0.001")
    asked = requests(config, units=1000, lane_seconds=6000.0, wall=600.0)
    assert asked is not None
    assert asked == Requests(puts=20 + 4 * 1000 + 600 + 900, gets=10 + 1000 + 600)
    assert asked.price(config) == pytest.approx(0.0552 + 0.00161)
    assert requests(config, 0, 0.0, 2.0) is None
    assert requests(launch(), 1000, 6000.0, 600.0) is None


def test_what_is_recorded_costs_nothing_and_what_is_replayed_is_not_sampled_again(store):
    config = launch("sweep.seeds=1")
    for unit in expand.units(config):
        store.commit(record(unit))
    assert said(quoted(store, "sweep.seeds=1")) == ["quote: nothing is left to do"]
    longer = quoted(store, "sweep.seeds=1", "eval.steps=[10,15]")
    assert longer.tokens["sampled"] == 8 * 5 * 64 * 24
    assert (longer.work["steps"], longer.work["replayed"]) == (8 * 15, 8 * 10)
    assert longer.tokens["trained"] == 8 * 15 * 64 * 24
    assert longer.seconds.sampling == pytest.approx(8 * 5 * 0.2)
    assert longer.seconds.training == pytest.approx(8 * 15 * 0.11)


def test_times_are_those_of_recorded_like_trials(store):
    for unit in trained(launch(), 3):
        store.commit(record(unit))
    made = quoted(store)
    assert made.measured == made.units == 126  # the base model too, by its size
    assert made.guess == ""
    assert made.seconds.sampling == pytest.approx(125 * 10 * 0.2)
    assert made.seconds.training == pytest.approx(125 * 10 * 0.11)
    assert made.seconds.evaluation == pytest.approx(126 * 1.5)
    assert made.wall == pytest.approx((126 * 1.5 + 125 * 3.1) / 2, rel=0.15)
    low, high = made.interval
    assert low < made.wall < high < 1.3 * made.wall


def test_trials_of_the_same_cell_tell_more_than_others(store):
    config = launch()
    first, second = trained(config, 2)
    store.commit(record(first, sample=0.1))
    store.commit(record(second, sample=0.5))
    records, _ = store.records()
    costs = Costs(observations(store, records, expand.units(config)), Stated(GPUS["H100"]), Amounts())
    same, other, third = (trained(config, 3, turn=1)[place] for place in (0, 1, 2))
    assert [costs.of(unit).sampling for unit in (same, other, third)] == pytest.approx([1.0, 5.0, 3.0])


def test_what_a_measurement_takes_is_a_line_over_its_answers():
    assert line([(60, 0.5), (960, 1.4)]) == pytest.approx((0.44, 0.001))
    assert line([(100, 1.0), (100, 3.0)]) == pytest.approx((0.0, 0.02))
    assert line([(100, 2.0), (200, 1.0)]) == pytest.approx((1.5, 0.0))  # more answers do not take less
    assert line([(100, 1.0), (200, 3.0)]) == pytest.approx((0.0, 2 / 150))


def test_recorded_trials_of_another_sweep_count_where_they_are_alike(store):
    for unit in trained(launch("optimizer.lr=5e-4"), 3):
        store.commit(record(unit))
    made = quoted(store)
    assert (made.measured, made.units) == (129, 129)
    assert made.seconds.sampling == pytest.approx(128 * 10 * 0.2)
    assert quoted(store, "rollout.samples=32").measured == 1  # the base model


def test_the_interval_is_narrower_with_more_like_trials_and_wide_without_any(store):
    config, widths = launch(), [quoted(store).spread]
    for count, unit in enumerate(trained(config, 8)):
        store.commit(record(unit, sample=0.2 + 0.02 * (count % 3)))
        if count in (1, 7):
            widths.append(quoted(store).spread)
    assert widths == sorted(widths, reverse=True)
    assert widths[0] == 1.5
    assert widths[2] < 0.3


def test_a_stated_model_of_a_gpu_scales_as_the_arithmetic_does(store, tmp_path):
    seven = launch("model.path=Qwen/Qwen2.5-Math-7B", "model.pretrain=null", "model.parameters=7.6")
    trial = expand.trials(seven)[0]
    h100, h200, a100 = (Stated(GPUS[name]) for name in ("H100", "H200", "A100"))
    assert h200.step(trial).sampling < h100.step(trial).sampling < a100.step(trial).sampling
    tokens, weights = 0.4 * 64 * 24, 7.6e9
    updates = 30 * weights / (0.6 * 3.35e12)
    assert h100.step(trial).training == pytest.approx(8 * weights * tokens / (0.4 * 989e12) + updates)
    assert h100.decode(weights, 1) == pytest.approx(2 * weights / (0.6 * 3.35e12))  # reading the weights
    assert h100.decode(weights, 10_000) == pytest.approx(2e4 * weights / (0.4 * 989e12))  # computing


def test_money_is_hours_times_price(store):
    words = ["model.path=Qwen/Qwen2.5-Math-7B", "model.pretrain=null", "model.parameters=7.6", "budget.price=2"]
    made = quoted(store, *words, "cluster.lanes=4")
    assert made.gpus == 1
    assert made.gpu_hours == pytest.approx(made.seconds.total / 3600)
    line = next(line for line in said(made) if "GPU-hours" in line)
    assert f"{2 * made.gpu_hours:,.0f} at 2 an hour" in line
    assert "operations and bytes of an H100" in "\n".join(said(made))


def test_the_dearest_part_and_what_would_make_it_cheaper_are_named(store):
    for unit in trained(launch(), 3):
        store.commit(record(unit, evaluation=30.0))
    assert "dearest is evaluation" in said(quoted(store))[-1]
    assert "eval.samples=4 instead of 8" in said(quoted(store))[-1]


def test_an_unknown_gpu_is_named():
    with pytest.raises(InputError, match=r"unknown budget\.gpu 'H1000': did you mean 'H100'"):
        quoted(Store("nowhere"), "budget.gpu=H1000")


def test_pilots_are_spread_over_cells_and_over_kinds_by_what_they_cost():
    costs = Costs([], Stated(GPUS["H100"]), Amounts())
    units = expand.units(launch())
    phases = [unit.trial.phase for unit in pilot.chosen(units, 3, costs)]
    temperatures = [phase.rollout.temperature for phase in phases if phase]
    assert temperatures == [0.5, 1.25, 1.75]
    assert all(unit.turn == 0 for unit in pilot.chosen(units, 8, costs))
    mixed = expand.units(compose_launch(["sweep=em-rl"]))
    chosen = pilot.chosen(mixed, 2, costs)
    assert {kind_of(unit.trial).objective for unit in chosen} == {"em", "grpo"}
    assert all(unit.start is None for unit in pilot.chosen(mixed, 50, costs))
