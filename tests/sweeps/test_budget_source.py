"""eval=budget: what is wanted first, what is decided by it, and that it stands."""

from pathlib import Path

import numpy as np
import pytest

from analysis import budget
from analysis.budget import Design, strata
from em.errors import InputError
from em.store import Store
from em.trial.evaluation import Evaluation, Numbers
from em.trial.trial import Trial
from sweeps import expand
from sweeps.amounts import Amounts
from sweeps.budget import Budget, decide, main
from sweeps.config import Launch, compose_launch
from sweeps.full import Full, Seen
from sweeps.plan import main as print_plan
from sweeps.plan import plan, quoted
from sweeps.source import settled, source_of
from tests.synthetic import fill
from tests.truth import Options, Score, normal

SWEEP = ["sweep=lr", "optimizer.lr=5e-4,1e-3,2e-3", "sweep.seeds=16", "eval.texts=none"]
BUDGET = [*SWEEP, "eval=budget", "eval.pilot_cells=2", "eval.pilot_seeds=3", "eval.target=0.03"]


def launch(*words: str) -> Launch:
    return compose_launch([*BUDGET, *words])


def score(trial: Trial, step: int, evaluation: object) -> float:
    """Seeds of a cell are ten points apart."""
    return 0.4 if trial.is_base else 0.5 + 0.1 * normal("seed", trial.id)


def recorded(store: Store, config: Launch, of: Score = score) -> None:
    """As far as the sweep wants it by now."""
    fill(store, settled(config, store), of)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "results", decides=True)


def test_base_models_and_a_few_trials_are_measured_in_full_first(store):
    config = launch()
    planned = plan(config, store)
    usual = [unit.id for unit in expand.units(compose_launch(SWEEP))]
    assert {unit.id for unit in planned.todo} < {*usual}  # what eval=avg8 records is what it rests on
    assert [unit.trial.is_base for unit in planned.todo] == [True, *[False] * 6]
    assert sorted({unit.trial.seed for unit in planned.todo}) == [0, 1, 2]
    assert len({unit.trial.with_seed(0).id for unit in planned.todo[1:]}) == 2


def test_the_design_is_decided_once_and_stands(store):
    config = launch()
    recorded(store, config)
    made = settled(config, store)
    assert (made.eval.numbers, made.eval.decided) == (Numbers.own, False)
    [decision] = store.decisions.kept("budget").values()
    design = decision["design"]
    assert (len(made.seeds), made.eval.problems) == (design["seeds"], design["problems"])
    assert made.eval.samples == design["samples"]
    assert design["half"] <= 0.03
    assert 30 < design["seeds"] < 45  # of which ten points give that interval
    assert all(len(strata) == 20 for strata in made.eval.strata.values())
    wanted = [unit.id for unit in expand.units(made)]
    left = plan(config, store).todo
    assert [unit.id for unit in left][:1] != wanted[:1]  # the base model is recorded ...
    assert len(left) == len(wanted) - 1 == 3 * len(made.seeds)  # ... and pilots are measured as all others
    fill(store, compose_launch(SWEEP), lambda trial, step, evaluation: 0.9)  # which would decide otherwise
    assert [unit.id for unit in source_of(launch(), Store(store.root)).wanted(store.records()[0])] == wanted
    recorded(store, launch())
    assert not plan(config, store).todo
    other = settled(launch("eval.target=0.5"), store)
    assert (len(other.seeds), len(store.decisions.kept("budget"))) == (16, 2)  # another target is another decision


def test_a_pilot_seed_that_is_given_up_holds_nothing_up(store):
    config = launch()
    bad = plan(config, store).todo[-1].trial.id
    fill(store, settled(config, store), score, Options(fails=lambda trial: 3 * (trial.id == bad)))
    assert settled(config, store).eval.numbers is Numbers.own


def seen(config: Launch, store: Store) -> Seen:
    full, records = Full(config, store), store.records()[0]
    return full.seen(records, full.cells(records))


def test_seeds_that_diverge_are_planned_for(store):
    config = launch("eval.pilot_seeds=4")
    fill(store, settled(config, store), score, Options(diverges=lambda trial: 3 * (trial.seed % 2)))
    found = seen(config, store)
    assert (found.trials, found.scored, found.with_score(17)) == (8, 4, 8)
    decided = decide(config, found)
    assert "seen in 4 trials" in decided["why"][0]
    assert "4 of 8 trials diverged or were given up, so of 16 seeds 8 are taken to have a score" in decided["why"]
    design = Design(**decided["design"])
    variance = found.variance.of_seed(design.problems, design.samples)
    assert design.half == pytest.approx(float(budget.half_width(variance, np.array(design.seeds // 2))))
    assert design.half <= 0.03
    assert float(budget.half_width(variance, np.array((design.seeds - 2) // 2))) > 0.03  # the least that do
    assert Design(**decided["instead"]["avg@8"]).half == found.full(16).half > found.full(32).half
    assert decided["pilot"]["seeds"] == 8  # all of which are trained


def test_a_pilot_whose_scores_hardly_vary_decides_nothing(store):
    config = launch()
    lucky = plan(config, store).todo[-1].trial.id
    fill(store, settled(config, store), lambda trial, step, evaluation: 0.0)
    said = r"eval.decided=true: scores of the 6 trials that are measured in full vary by less than one answer"
    for words in ([], ["eval.target=0"]):
        with pytest.raises(InputError, match=rf"{said}; other cells may vary more: eval.pilot_cells=4 measures more"):
            settled(launch(*words), store)
    assert not store.decisions.kept("budget")
    more = launch("eval.pilot_seeds=4")  # one more seed, which has a few answers right
    fill(store, settled(more, store), lambda trial, step, evaluation: 0.05 * (trial.id != lucky))
    assert settled(more, store).eval.numbers is Numbers.own


def test_greedy_answers_are_single(store, capsys):
    config = launch("eval.temperatures=[0.0]")
    recorded(store, config)
    decided = decide(config, seen(config, store))
    assert decided["instead"].keys() == {"greedy answers"}
    assert {decided[name]["samples"] for name in ("design", "pilot")} == {1}
    assert decided["instead"]["greedy answers"]["answers"] == 6 * 20
    main([*BUDGET, "eval.temperatures=[0.0]", f"store={store.root}"])
    said = capsys.readouterr().out
    assert "greedy answers of 16 seeds: 95% intervals of ±" in said
    assert "avg@8" not in said
    assert "8 answers each" not in said


def test_ids_of_measurements_are_made_once_for_all_trials(store, monkeypatch):
    """And what is missing of all trials is found once a look."""
    counts, real, left = list[int](), Evaluation.identity, Full.left
    monkeypatch.setattr(Evaluation, "identity", lambda self: (counts.append(0), real(self))[1])
    made = []
    for seeds in (4, 40):
        counts.clear()
        settled(launch(f"sweep.seeds={seeds}"), store)
        made.append(len(counts))
    assert made[0] == made[1]
    looks = list[int]()
    monkeypatch.setattr(Full, "left", lambda self, units, of: (looks.append(len(units)), left(self, units, of))[1])
    settled(launch(), store)
    assert looks == [3 * 16, 1 + 6]  # all trials, then what is measured first


def test_what_else_is_recorded_of_trials_is_not_read(store):
    fill(store, compose_launch([*SWEEP, "sweep.seeds=4", "eval.samples=1"]), score)
    config = launch()
    assert len(plan(config, store).todo) == 1 + 6
    fill(store, compose_launch([*SWEEP, "sweep.seeds=4"]), score)
    assert settled(config, store).eval.numbers is Numbers.own


def test_a_quote_is_no_bound_where_a_target_may_take_more(store):
    for words, bound in (([], "at least"), (["eval.target=0"], "at most")):
        config = launch(*words)
        said = quoted(config, plan(config, store), store, source_of(config, store))
        assert said[0].startswith(f"quote: {bound} ")


def test_trials_that_are_recorded_in_full_need_no_pilot(store):
    fill(store, compose_launch([*SWEEP, "sweep.seeds=5"]), score)
    made = settled(launch(), store)
    assert made.eval.numbers is Numbers.own
    [decision] = store.decisions.kept("budget").values()
    assert decision["pilot"]["seeds"] == 10  # two cells, five seeds


def test_answers_are_counted_as_they_are_asked(store):
    recorded(store, launch())
    made = settled(launch(), store)
    base, trial = expand.units(made)[:2]
    assert Amounts().of(base).measured == 6 * 20 * 8
    assert Amounts().of(trial).measured == 6 * made.eval.problems * made.eval.samples < 6 * 20 * made.eval.samples


def test_parts_of_a_union_are_decided_one_by_one(store):
    config = compose_launch(["sweep=lr,temperature", *BUDGET[3:], "sweep.seeds=4"])
    recorded(store, config)
    made = settled(config, store)
    assert [part.eval.numbers for part in made.parts] == [Numbers.own] * 2
    assert len(store.decisions.kept("budget")) == 2


def test_strata_are_of_the_mean_of_the_base_models(store):
    config = launch("optimizer.lr=1e-3", "model=tiny,tiny_weak")
    recorded(store, config)
    full = Budget(config, store).full
    records = store.records()[0]
    cells = full.cells(records)
    assert len({cell.trials[0].base.id for cell in cells}) == 2
    of = full.correct(records, {(cell.trials[0].base.id, 0) for cell in cells})
    mean_PK = np.mean([found["sum"] for found in of.values()], axis=0)
    assert len(of) == 2
    assert settled(config, store).eval.strata["sum"] == strata(mean_PK)


def test_the_plan_says_the_design_and_what_it_saves(store, capsys):
    words = [*BUDGET, f"store={store.root}"]
    print_plan(words)
    assert "evaluation is decided once 6 trials of 2 cells are measured in full" in capsys.readouterr().out
    recorded(store, launch())
    print_plan(words)
    said = capsys.readouterr().out
    design = settled(launch(), store).eval
    assert f"evaluation: {design.samples} answers to each of {design.problems} problems of a benchmark, " in said
    assert "against avg@8 of 16 seeds, what was measured in full included: " in said
    assert "against greedy and avg@8 of 16 seeds" in said


def test_levers_are_printed_from_what_is_recorded_without_deciding(store, capsys):
    words = [*BUDGET, f"store={store.root}"]
    with pytest.raises(InputError, match=r"7 measurements of lr that this rests on are not recorded; run the sweep"):
        main(words)
    recorded(store, launch())
    main(words)
    said = capsys.readouterr().out
    assert "standard deviation of a trial's score, in points: models " in said
    assert "(eval=budget)" in said
    assert not store.decisions.kept("budget")


def test_levers_of_a_single_seed_are_those_of_two(store, capsys):
    recorded(store, launch())
    main([*BUDGET, "sweep.seeds=1", "eval.target=0", f"store={store.root}"])
    said = capsys.readouterr().out
    assert "avg@8 of 2 seeds: 95% intervals of ±" in said
    assert f"for intervals of ±{100 * seen(launch(), store).full(2).half:.2f} points" in said
    assert "nan" not in said
    assert "-  " not in said  # every choice has a design


@pytest.mark.parametrize("name", ["pilot_seeds", "pilot_samples"])
@pytest.mark.parametrize("value", [1, 0, -1])
def test_a_pilot_has_two_of_each(name, value):
    with pytest.raises(InputError, match=rf"eval.{name}={value}: must be 2 or greater"):
        launch(f"eval.{name}={value}")


def test_what_cannot_be_decided_is_one_line(store):
    with pytest.raises(InputError, match=r"eval.decided=true: decides how many seeds there are"):
        source_of(compose_launch(["sweep=lr", "optimizer.lr=5e-4,1e-3", "eval=budget", "seed=range(0,4)"]), store)
    recorded(store, launch())
    with pytest.raises(InputError, match=r"eval.target=1e-06: no design of up to 4,096 seeds has so narrow intervals"):
        settled(launch("eval.target=1e-6"), store)
