"""A search as a source of work: what it wants by records, in a store, from words to what is said and drawn."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from rich.console import Console

from analysis.seeds import cells as frame_of
from em.errors import InputError
from em.store import Store
from em.store.record import Record, Status
from em.trial.unit import Unit
from sweeps import expand, figures, plan
from sweeps.config import Launch, compose_launch
from sweeps.search.source import Search
from sweeps.source import Grid, Growing, settled, source_of
from tests.processes import finished, started, wait_for
from tests.searched import Trainer, expected
from tests.smallest import recorded
from tests.trials import phase_of, run

SEEDS, POINTS = 5, 10
WORDS = ["sweep=search", f"sweep.seeds={SEEDS}", f"search.points={POINTS}", "search.ahead=3", "search=random"]


def launch(folder: Path, *words: str) -> Launch:
    return compose_launch([*WORDS, f"store={folder}", *words])


def source(config: Launch) -> Search:
    made = source_of(config, Store(config.store, decides=True))
    assert isinstance(made, Search)
    return made


def record(unit: Unit) -> Record:
    return run(Trainer(unit.trial.model, unit.trial.engine), unit)


def work(config: Launch, trials: float = float("inf"), skip: str = "") -> int:
    """Record what is wanted, unit after unit, each time asking anew; how many were made."""
    store, made = Store(config.store, decides=True), 0
    while made < trials:
        todo = [unit for unit in plan.plan(config, store).todo if unit.trial.id != skip]
        if not todo:
            break
        assert store.commit(record(todo[0]))
        made += 1
    return made


@pytest.fixture(scope="module", autouse=True)
def _quick():
    from tests import searched

    before, searched.SECONDS = searched.SECONDS, 0.0
    yield
    searched.SECONDS = before


def points(config: Launch) -> list[dict]:
    made = source(config)
    made.settled(made.store.records()[0])
    return [point.values | {"seeds": point.wanted, "pruned": point.is_pruned} for point in made.study.by_number]


def test_a_search_ends_with_the_best_of_its_points(tmp_path):
    config = launch(tmp_path)
    made = work(config)
    wanted = plan.plan(config, Store(tmp_path))
    assert not wanted.todo
    assert made == len(wanted.wanted) < 1 + POINTS * SEEDS  # seeds of hopeless points were left out
    own = source(config)
    own.settled(own.store.records()[0])
    assert len(own.study.by_number) == POINTS
    best = own.study.best(own.study.by_number)
    assert best is not None
    cell = own.cell(best.values)
    assert best.objective("mean") == pytest.approx(
        np.mean([record(Unit(trial, config.measurements([10]))).evaluations[0].accuracy for trial in cell.trials])
    )
    whole = [own.cell(of.values) for of in own.study.by_number if not of.is_pruned]
    truth = [expected(of.trials[0]) for of in whole]
    assert expected(cell.trials[0]) >= np.sort(truth)[-2]
    [line, said] = own.said(own.store.records()[0])
    left = sum(point.is_pruned for point in own.study.by_number)
    said_of_them = f"{left} of them were left before they had all their seeds"
    assert line == f"search {own.name}: {POINTS} of {POINTS} points asked; {said_of_them}"
    assert left > 0
    assert f"best: optimizer.lr={best.values['optimizer.lr']:g} " in said
    assert f"mean accuracy {100 * best.objective('mean'):.1f}% on validation problems (5 seeds)" in said


def test_another_process_goes_on_where_one_was_killed(tmp_path):
    """Whatever was recorded by then, and also where the points that were asked are lost: the study is the same."""
    whole = launch(tmp_path / "whole")
    work(whole)
    broken = launch(tmp_path / "broken")
    store = Store(broken.store)
    work(broken, trials=17)
    for name in store.files.list("decisions")[:1]:
        store.files.remove(f"decisions/{name}")
    work(broken, trials=6)
    work(broken)
    assert points(broken) == points(whole)
    ids = [set(Store(of.store).recorded_units()) for of in (whole, broken)]
    assert ids[0] == ids[1]


def test_a_point_that_could_not_be_written_down_is_asked_again(tmp_path):
    """The others are what they were."""
    config = launch(tmp_path)
    work(config)
    known = points(config)
    [path] = tmp_path.glob("decisions/*/point-3.json")
    path.unlink()
    assert points(config) == known


def test_who_only_looks_decides_nothing(tmp_path):
    """A plan, figures, a status: what is recorded between them and the launch is told to it all the same."""
    config, store = launch(tmp_path), Store(tmp_path)
    planned = [unit.id for unit in plan.plan(config, store).todo]
    assert not (tmp_path / "decisions").exists()
    assert [unit.id for unit in plan.plan(config, Store(tmp_path, decides=True)).todo] == planned
    names = sorted(path.name for path in tmp_path.glob("decisions/*/*"))
    assert names == ["point-0.json", "point-1.json", "point-2.json", "warm.json"]


def test_points_that_are_no_trial_are_left_to_the_sampler_and_said(tmp_path):
    """With GRPO the samples of a step are a multiple of those of a prompt."""
    words = ["phase=grpo"]
    config = launch(tmp_path, *words, "search.points=16", "search.ahead=16")
    own = source(config)
    made = own.settled(own.store.records()[0]).settled or ()
    refused = [point for point in own.study.by_number if repr(point.values) in own.refused]
    assert refused
    assert all(point.values["rollout.samples"] % 8 for point in refused)
    assert len(made) == 16 - len(refused) > 0
    said = "\n".join(own.said(own.store.records()[0]))
    assert (
        f"{len(refused)} points cannot be trained, such as this one: rollout.samples_per_prompt=8: must divide" in said
    )
    none = source(launch(tmp_path, *words, "sweep.axes=[{field: rollout.samples, low: 9, high: 15}]"))
    with pytest.raises(
        InputError, match=r"no point can be trained, such as this one: .*samples_per_prompt=8: must div"
    ):
        none.settled(none.store.records()[0])
    every = launch(tmp_path, *words, "sweep.axes=[{field: rollout.samples, low: 8, high: 64, step: 8}]")
    own = source(every)
    own.settled(own.store.records()[0])
    assert own.refused == {}


def test_other_seeds_are_another_study_and_fewer_or_more_are_not(tmp_path):
    config = launch(tmp_path)
    work(config)
    known = source(config)
    assert source(launch(tmp_path, "sweep.seeds=7")).name == known.name
    assert source(launch(tmp_path, "seed=100")).name != known.name
    axis = [word for word in WORDS if not word.startswith("sweep.seeds")]
    three, four = (source(compose_launch([*axis, f"seed=range(0,{n})", f"store={tmp_path}"])) for n in (3, 4))
    assert three.name == four.name == known.name
    fewer = launch(tmp_path / "fewer", "sweep.seeds=2")
    words = ["sweep=search", "search=none", "rollout.temperature=1", "rollout.samples=16", f"store={fewer.store}"]
    work(compose_launch([*words, "optimizer.lr=1e-3", "seed=5"]))  # of a seed that the search does not have
    settled(fewer, Store(fewer.store))
    work(launch(tmp_path / "fewer", "sweep.seeds=6", "search.points=3"), trials=2)
    assert len(settled(fewer, Store(fewer.store)).settled or ()) == 3


def test_a_search_that_asks_more_points_goes_on_with_its_own(tmp_path):
    work(launch(tmp_path))
    more = launch(tmp_path, "search.points=12")
    assert source(more).name == source(launch(tmp_path)).name
    known = points(launch(tmp_path))
    assert points(more)[:POINTS] == known
    assert source(launch(tmp_path, "search.seed=1")).name != source(more).name
    assert source(launch(tmp_path, "search.objectives=[median]")).name != source(more).name
    assert source(launch(tmp_path, "rollout.top_p=0.9")).name != source(more).name


def test_what_is_recorded_of_the_space_is_told_first(tmp_path):
    """Of a grid with three seeds, of which one cell lies outside; another sweep's trials are of no interest."""
    rates = "optimizer.lr=1e-4,1e-3,5e-2"
    words = ["sweep=search", "search=none", rates, "rollout.temperature=1", "rollout.samples=16,32", "sweep.seeds=3"]
    grid = compose_launch([*words, f"store={tmp_path}"])
    work(grid)
    work(compose_launch([*words, f"store={tmp_path}", "rollout.top_p=0.5"]))
    own = source(launch(tmp_path))
    made = own.settled(own.store.records()[0])
    warm = own.study.warm
    found = {(of.values["optimizer.lr"], of.values["rollout.samples"]) for of in warm}
    assert found == {(1e-4, 16), (1e-4, 32), (1e-3, 16), (1e-3, 32)}
    assert {len(of.scores) for of in warm} == {3}
    assert all(of.is_pruned for of in warm)  # two of five seeds lack
    recorded = {trial.id for trial in expand.trials(grid)}
    assert {trial.id for cell in (made.settled or ())[:4] for trial in cell.trials} < recorded
    work(launch(tmp_path))
    again = source(launch(tmp_path))
    again.settled(again.store.records()[0])
    assert again.begun == own.begun  # and not what the search itself has recorded since
    cold = source(launch(tmp_path, "search.warm=false"))
    cold.settled(cold.store.records()[0])
    assert cold.study.warm == []


def test_a_seed_that_failed_too_often_does_not_hold_the_search_up(tmp_path):
    config = launch(tmp_path)
    store = Store(tmp_path)
    bad = next(unit for unit in plan.plan(config, store).todo if not unit.trial.is_base)
    for _ in range(config.sweep.max_attempts):
        failed = record(bad)
        failed.status, failed.error = Status.failed, "RuntimeError: synthetic"
        failed.provenance.attempt_id = os.urandom(6).hex()
        store.commit(failed)
    work(config)
    planned = plan.plan(config, store)
    assert [unit.trial.id for unit in planned.given_up] == [bad.trial.id]
    assert not planned.todo
    assert len(points(config)) == POINTS


def test_a_diverged_trial_counts_as_one_that_knows_nothing(tmp_path):
    config = launch(tmp_path)
    store = Store(tmp_path)
    bad = next(unit for unit in plan.plan(config, store).todo if not unit.trial.is_base)
    diverged = record(bad)
    diverged.status, diverged.evaluations = Status.diverged, []
    store.commit(diverged)
    work(config)
    own = source(config)
    own.settled(store.records()[0])
    point = next(of for of in own.study.by_number if own.cell(of.values).trials[0].id == bad.trial.id)
    assert point.results.scores_S[0] == 0.0
    assert point.scores[0] == 0.0


def test_figures_plan_and_quote_of_a_search(tmp_path):
    config = launch(tmp_path, "search.objectives=[mean,seconds]", "search=tpe")
    store = Store(tmp_path)
    work(config, trials=30)
    own = source_of(config, store)
    planned = plan.plan(config, store, own)
    shown = settled(config, store, own)
    assert isinstance(own, Growing)
    assert "TPESampler chooses 10" in plan.describe(shown, planned, store)
    most = own.at_most(store.records()[0])
    assert len(plan.plan(most, store, Grid(most)).todo) == 1 + POINTS * SEEDS - 30
    assert plan.quoted(config, planned, store, own)[0].startswith("quote: at most ")
    paths = figures.draw_all(shown, store, Console(quiet=True))["search"]
    assert {path.name for path in paths if path.suffix == ".png"} == {
        "search-history.png",
        "search-slices.png",
        "search-pareto.png",
    }
    drawn = pl.read_csv(tmp_path / "figures" / "search-pareto.csv")
    assert not drawn.filter(~pl.col("good"))["front"].any()  # that are not over yet
    drawn = drawn.filter("good")
    for row in drawn.iter_rows(named=True):
        others = drawn.filter(pl.col("mean") >= row["mean"], pl.col("seconds") <= row["seconds"])
        better = others.filter((pl.col("mean") > row["mean"]) | (pl.col("seconds") < row["seconds"]))
        assert row["front"] == better.is_empty()
    history = pl.read_csv(tmp_path / "figures" / "search-history.csv")
    assert history["point"].to_list() == list(range(len(history)))
    grid = compose_launch(["sweep=temperature", "sweep.figures=[{kind: history}]", f"store={tmp_path}"])
    with pytest.raises(InputError, match="shows the points of a search"):
        figures.check_all(grid)


def test_figures_show_what_the_search_finds_best(tmp_path):
    """By its first objective, among points that meet its constraints, whatever the first figure shows."""
    words = ["search.objectives=[worst,seconds]", "sweep.figures=[{kind: pareto}, {kind: history}]"]
    config = launch(tmp_path, *words)
    work(config)
    own, store = source(config), Store(tmp_path)
    own.settled(store.records()[0])
    bound = float(np.median([point.objective("mean") for point in own.study.by_number]))
    config = launch(tmp_path, *words, f"search.constraints.mean={bound}")
    work(config)
    own = source(config)
    shown = settled(config, store, own)
    figures.draw_all(shown, store, Console(quiet=True))
    pareto, history = (pl.read_csv(tmp_path / "figures" / f"{name}.csv") for name in ("search", "search-history"))
    points = [*own.study.warm, *own.study.by_number]
    place = {cell.trials[0].id: number for number, cell in enumerate(expand.cells(shown))}
    numbered = {place[own.cell(of.values).trials[0].id]: of for of in points}
    assert history["good"].to_list() == [numbered[of].objective("mean") >= bound for of in history["point"]]
    best = own.study.best(points)
    assert best is not None
    assert numbered[history["leader"][-1]].values == best.values
    assert len(history) == len(place)
    front = [own.cell(point.values).trials[0].id for point in own.study.front(points)]
    assert set(pareto.filter("front")["point"]) == {place[trial] for trial in front}


def test_groups_and_values_are_chosen_among(tmp_path):
    words = ["objective=paper,reference_code", "rollout.temperature=0.5,1.0", "optimizer.lr=1e-4,1e-3"]
    config = compose_launch(
        ["search=tpe", *words, "sweep.seeds=2", "search.points=12", "search.ahead=2", f"store={tmp_path}"]
    )
    work(config)
    shown = settled(config, Store(tmp_path))
    names = {(of.values["objective"], phase_of(of.trials[0]).objective.name) for of in expand.cells(shown)}
    assert names <= {("paper", "em"), ("reference_code", "em")}
    assert len({of.trials[0].id for of in expand.cells(shown)}) == len(expand.cells(shown)) <= 8
    assert len(points(config)) == 12  # a point that is asked again costs nothing
    assert frame_of([of.trials[0] for of in expand.cells(shown)], {})["trial_id"].n_unique() == len(expand.cells(shown))


def test_a_union_of_a_search_and_a_grid(tmp_path):
    words = ["sweep=search,smoke", "sweep.seeds=2", "search.points=4", "search.ahead=2", "eval.samples=2"]
    config = compose_launch([*words, "eval.texts=none", f"store={tmp_path}"])
    store = Store(tmp_path)
    work(config)
    shown = settled(config, store)
    assert len(expand.cells(shown.parts[0])) == 4
    assert shown.parts[1] == config.parts[1]
    assert plan.quoted(config, plan.plan(config, store), store, source_of(config, store)) == [
        "quote: nothing is left to do"
    ]
    assert {*figures.draw_all(shown, store, Console(quiet=True))} == {"search", "smoke"}


def kill_at(driver: subprocess.Popen[str], store: Path, enough: int, seconds: float) -> bool:
    """Kill driver, Ray and lanes so many seconds after that many units are recorded; False where it has ended by then.

    Workers have groups of their own, and go on.
    """
    wait_for(lambda: driver.poll() is not None or recorded(store) >= enough)
    time.sleep(seconds)
    if driver.poll() is not None:
        finished(driver)
        return False
    os.killpg(driver.pid, signal.SIGKILL)
    driver.communicate()
    return True


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_a_search_that_is_killed_again_and_again_is_the_same_study(tmp_path):
    """kill -9 of driver and lanes at random: nothing is lost, and the study is that of an undisturbed one."""
    words = [*WORDS, "search=tpe", "sweep.figures=[]", "tracking=quiet", "cluster.lanes=2", "cluster.lease_seconds=4"]

    def begun(name: str) -> subprocess.Popen[str]:
        return started([sys.executable, "-m", "tests.searched", *words, f"store={tmp_path / name}"], dict(os.environ))

    finished(begun("whole"))
    rng, kills = np.random.default_rng(0), 0
    while kills < 12:
        enough = recorded(tmp_path / "broken") + int(rng.integers(1, 9))
        if not kill_at(begun("broken"), tmp_path / "broken", enough, 0.1 * rng.random()):
            break
        kills += 1
        time.sleep(1)
    finished(begun("broken"))
    assert kills > 0
    whole, broken = (compose_launch([*words, f"store={tmp_path / name}"]) for name in ("whole", "broken"))
    assert points(broken) == points(whole)
    assert Store(whole.store).recorded_units() == Store(broken.store).recorded_units()
    kept = [json.loads(path.read_text()) for path in sorted((tmp_path / "broken" / "decisions").rglob("point-*.json"))]
    assert len(kept) == POINTS
