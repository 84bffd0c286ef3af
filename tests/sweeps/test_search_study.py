"""The algorithm of a search, without a store: what is asked, how many seeds are wanted, what samplers are told."""

import json
import random
from collections.abc import Callable, Sequence
from dataclasses import asdict

import numpy as np
import optuna
import pytest
from optuna.trial import TrialState

from analysis.search import OBJECTIVES
from em.errors import InputError
from sweeps.config import Launch, compose_launch
from sweeps.search.config import Bounds
from sweeps.search.space import holds, space_of
from sweeps.search.study import Asked, Point, Results, Study

SEEDS = 6
NAN = float("nan")
VALUES = {"optimizer.lr": 1e-3, "rollout.temperature": 1.0, "rollout.samples": 16}


def composed(*words: str) -> Launch:
    return compose_launch(["sweep=search", f"sweep.seeds={SEEDS}", "search.points=14", "search.ahead=4", *words])


def bowl(values: dict) -> float:
    rate, temperature = np.log10(values["optimizer.lr"]) + 3, values["rollout.temperature"] - 1.2
    return 0.8 - 0.2 * rate**2 - 0.2 * temperature**2


class World:
    """Trials that end in an order drawn by `order`; a trial's score depends on its point and seed alone."""

    def __init__(self, launch: Launch, objective: Callable[[dict], float] = bowl, noise: float = 0.01) -> None:
        self.launch, self.objective, self.noise = launch, objective, noise
        self.scores: dict[str, np.ndarray] = {}
        self.is_over: dict[str, np.ndarray] = {}
        self.kept: list[Asked] = []

    def results(self, asked: Asked) -> Results:
        key = json.dumps(asked.values)
        if key not in self.scores:
            rng = np.random.default_rng([*key.encode()])
            self.scores[key] = self.objective(asked.values) + self.noise * rng.standard_normal(SEEDS)
            self.is_over[key] = np.zeros(SEEDS, bool)
        over = self.is_over[key].copy()
        return Results(np.where(over, self.scores[key], np.nan), np.ones(SEEDS), over)

    def keep(self, number: int, asked: Asked) -> Asked:
        assert number == len(self.kept)
        self.kept.append(Asked(**json.loads(json.dumps(asdict(asked)))))
        return self.kept[-1]

    def study(self, kept: Sequence[Asked] = (), warm: Sequence[Point] = ()) -> Study:
        self.kept = list(kept)
        return Study(self.launch.search, space_of(self.launch), self.keep, kept, warm)

    def run(self, order: int = 0, study: Study | None = None, trials: float = float("inf")) -> list[Point]:
        """Until nothing is wanted any more, or so many trials have ended."""
        study, rng = study or self.study(), random.Random(order)
        while True:
            points = study.look(self.results)
            keys = [json.dumps(point.values) for point in points]
            left = {
                (key, seed)
                for key, point in zip(keys, points, strict=True)
                for seed in range(point.wanted)
                if not self.is_over[key][seed]
            }
            if not left or self.trials >= trials:
                return points
            key, seed = rng.choice(sorted(left))
            self.is_over[key][seed] = True

    @property
    def trials(self) -> int:
        return sum(int(over.sum()) for over in self.is_over.values())


def said(points: Sequence[Point]) -> list[tuple]:
    return [(point.values, point.wanted, point.is_pruned, point.scores.tolist()) for point in points]


@pytest.mark.parametrize("sampler", ["tpe", "random", "qmc", "cmaes", "gp", "nsga2"])
def test_a_study_does_not_depend_on_the_order_in_which_trials_end(sampler):
    """Nor on being rebuilt after every few of them, from the points that were kept and the results alone."""
    launch = composed(f"search={sampler}")
    points = World(launch).run(order=0)
    assert said(World(launch).run(order=1)) == said(points)
    broken = World(launch)
    broken.run(order=2, trials=0)
    while not all(point.is_over for point in broken.run(2, broken.study(broken.kept), broken.trials + 7)[-1:]) or (
        len(broken.kept) < launch.search.points
    ):
        pass
    assert said(broken.run(2, broken.study(broken.kept))) == said(points)
    assert len(points) == 14
    assert all(holds(space_of(launch), point.values) for point in points)
    assert len({json.dumps(point.values) for point in points}) == 14


def test_point_k_knows_all_points_but_the_last_ones_before_it():
    launch = composed("search.prune=0")
    world = World(launch)
    study = world.study()
    assert len(study.look(world.results)) == 4  # search.ahead
    first, *others = (json.dumps(asked.values) for asked in world.kept)
    for key in others:
        world.is_over[key][:] = True
    assert len(study.look(world.results)) == 4  # the first is not over yet
    world.is_over[first][:] = True
    assert len(study.look(world.results)) == 8


def test_a_hopeless_point_loses_its_other_seeds_and_a_good_one_keeps_them():
    """Wilcoxon's test can say nothing of fewer than four seeds at p < .1: 2^-4 = .0625."""
    launch = composed("search.prune=0.1")
    study = World(launch).study()
    rival = Point(Asked({}), SEEDS, Results(np.full(SEEDS, 0.5), np.ones(SEEDS), np.ones(SEEDS, bool)), True)

    def followed(scores: Sequence[float]) -> tuple[int, bool, bool]:
        scores_S = np.array([*scores, *[NAN] * (SEEDS - len(scores))])
        point = study.follow(Asked({}), Results(scores_S, np.ones(SEEDS), np.isfinite(scores_S)), rival)
        return point.wanted, point.is_over, point.is_pruned

    assert study.first == 4
    assert followed([0.4] * 3) == (4, False, False)
    assert followed([0.4] * 4) == (4, True, True)
    assert followed([0.6] * 4) == (5, False, False)
    assert followed([0.4, 0.4, 0.4, 0.7]) == (5, False, False)
    assert followed([0.4, 0.4, 0.4, 0.51, 0.4]) == (5, True, True)
    assert followed([0.6] * 6) == (6, True, False)
    assert study.follow(Asked({}), rival.results, None).wanted == SEEDS  # nothing to compare with


def test_a_seed_that_was_given_up_blocks_nothing():
    launch = composed("search.points=5")
    world = World(launch)
    study = world.study()
    study.look(world.results)
    key = json.dumps(world.kept[0].values)
    world.results(world.kept[0])
    world.scores[key][:] = NAN
    points = world.run(0, study)
    assert len(points) == 5
    assert study.trials()[0].state is TrialState.FAIL
    assert [trial.state for trial in study.trials()[1:]] == [TrialState.COMPLETE] * 4
    best = study.best(points)
    assert best is not None
    assert best.objective("mean") == max(point.objective("mean") for point in points if point.scores.size)


def test_the_sampler_hears_of_values_constraints_and_seeds():
    launch = composed("search.constraints.worst=0.7", "search.points=8")
    world = World(launch)
    study = world.study()
    points = world.run(0, study)
    for point, trial in zip(points, study.trials(), strict=True):
        assert trial.value == pytest.approx(np.mean(point.scores))
        assert trial.constraints["worst"] == pytest.approx(0.7 - point.scores.min())
        assert trial.user_attrs == {"seeds": len(point.scores), "pruned": point.is_pruned, "warm": False}
        assert list(trial.intermediate_values.values()) == pytest.approx(point.scores.tolist())
    feasible = [point for point in points if study.is_good(point)]
    assert all(point.scores.min() >= 0.7 for point in feasible)
    assert study.best(points) is (max(feasible, key=lambda of: of.objective("mean")) if feasible else None)


def test_several_objectives_leave_a_front():
    launch = composed("search.objectives=[mean,spread]", "search=nsga2", "search.points=12")
    world = World(launch, noise=0.05)
    study = world.study()
    points = world.run(0, study)
    assert all(point.wanted == SEEDS for point in points)  # nothing is left out where one number does not decide
    front = study.front(points)
    for point in points:
        own = point.objective("mean"), -point.objective("spread")
        beaten = any(
            (other.objective("mean"), -other.objective("spread")) != own
            and other.objective("mean") >= own[0]
            and -other.objective("spread") >= own[1]
            for other in points
        )
        assert (point in front) == (not beaten)


@pytest.mark.parametrize("name", [name for name in OBJECTIVES if name not in ("mean", "median")])
def test_seeds_are_left_out_only_where_scores_decide_by_their_middle(name):
    """The steadiest or fastest point may be the worse one, seed by seed."""
    points = World(composed(f"search.objectives=[{name}]")).run(0)
    assert {point.wanted for point in points} == {SEEDS}
    assert {point.wanted for point in World(composed("search.objectives=[median]")).run(0)} > {SEEDS}


@pytest.mark.parametrize("objectives", ["spread", "seconds", "mean,seconds", "mean,spread"])
def test_a_point_that_diverges_or_fails_is_never_the_best(objectives):
    """Scores of 0 have no spread, and diverging takes little time."""
    launch = composed(f"search.objectives=[{objectives}]")
    study = World(launch).study()
    over_S = np.ones(SEEDS, bool)
    good = Point(Asked({}), SEEDS, Results(np.linspace(0.5, 0.6, SEEDS), np.full(SEEDS, 9.0), over_S), True)
    lost = Point(Asked({}), SEEDS, Results(np.zeros(SEEDS), np.ones(SEEDS), over_S, diverged=SEEDS), True)
    given_up = Point(Asked({}), SEEDS, Results(np.array([0.9, *[NAN] * (SEEDS - 1)]), np.ones(SEEDS), over_S), True)
    assert study.best([lost, given_up, good]) is good
    assert study.front([lost, given_up, good]) == [good]
    for point, diverged in ((lost, SEEDS), (good, 0)):
        assert launch.search.goal.lacks(point.objective, point.results.diverged) == {"diverged": diverged}


def test_points_of_a_sequence_fill_the_space_evenly():
    """Once a first point is over: qmc against as many at random, by what a sequence is for."""
    from scipy.stats.qmc import discrepancy, scale

    found = dict[str, list[float]]()
    for sampler in ("qmc", "random"):
        for seed in range(4):
            words = (f"search={sampler}", f"search.seed={seed}", "search.points=33", "search.ahead=1", "search.prune=0")
            launch = composed(*words, "sweep.axes=[{field: rollout.top_p, low: 0.1, high: 1}, {field: "
                              "rollout.temperature, low: 0.2, high: 2}]")  # fmt: skip
            points = World(launch, lambda values: values["rollout.top_p"]).run(0)[1:]
            values = np.array([[of.values["rollout.top_p"], of.values["rollout.temperature"]] for of in points])
            unit = scale(values, [0.1, 0.2], [1, 2], reverse=True)
            found.setdefault(sampler, []).append(float(discrepancy(unit)))
    assert max(found["qmc"]) < min(found["random"]) / 2


def test_steps_of_a_range_are_kept():
    axes = "sweep.axes=[{field: rollout.samples, low: 8, high: 62, step: 8}, {field: rollout.top_p, low: 0.5, high: 1}]"
    launch = composed(axes, "search=random", "search.points=20", "search.ahead=20")
    world = World(launch, lambda values: values["rollout.top_p"])
    world.study().look(world.results)
    samples = {asked.values["rollout.samples"] for asked in world.kept}
    assert samples <= {8, 16, 24, 32, 40, 48, 56}
    assert len(samples) > 3
    assert not holds(space_of(launch), {"rollout.samples": 12, "rollout.top_p": 0.5})


def test_what_was_recorded_before_steers_the_first_point():
    """CMA-ES and others apart: TPE with ten points of its own begins where these were good."""
    launch = composed("search.points=3", "search.ahead=1", "search.options={n_startup_trials: 10}")
    world, rng = World(launch), np.random.default_rng(0)
    warm = []
    for _ in range(30):
        values = {
            "optimizer.lr": float(10 ** rng.uniform(-4, -2)),
            "rollout.temperature": float(rng.uniform(0.25, 2)),
            "rollout.samples": int(rng.integers(8, 65)),
        }
        scores_S = np.full(SEEDS, bowl(values))
        warm.append(Point(Asked(values), SEEDS, Results(scores_S, np.ones(SEEDS), np.ones(SEEDS, bool)), True))
    points = world.run(0, world.study(warm=warm))
    cold = World(composed("search.points=3", "search.ahead=1")).run(0)
    assert np.mean([bowl(point.values) for point in points]) > np.mean([bowl(point.values) for point in cold])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["search.sampler=TPE"], "unknown search.sampler 'TPE'"),
        (["search.sampler=QMCSampler"], "unknown option of QMCSampler 'n_startup_trials'"),
        (["search=cmaes", "optimizer.lr=1e-3,2e-3"], "optimizer.lr has values; this sampler needs numbers"),
        (["sweep.exclude=[{optimizer.lr: 1e-3}]", "optimizer.lr=1e-3,2e-3"], "a search varies sweep.axes alone"),
    ],
)
def test_mistakes_are_said_before_anything_is_trained(words, message):
    launch = composed(*words)
    with pytest.raises(InputError, match=message.replace("(", r"\(")):
        World(launch).run(0)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["search.points=0"], "search.points=0"),
        (["search.objectives=[]"], "name at least one of mean"),
        (["search.objectives=[mean,mean]"], "name each once"),
        (["search.constraints.accuracy=1"], "unknown option 'search.constraints.accuracy'"),
        (["search.options.n_startup=3"], "did you mean 'search.options.n_startup_trials'"),
        (["search.prune=1"], "must be 0"),
        (["search=none"], "is for a search"),
        (["search=tpes"], "did you mean 'tpe'"),
        (["optimizer.lr=interval(1e-2,1e-4)"], "a finite low that is below a finite high"),
        (["sweep.axes=[{field: optimizer.lr, low: 0, high: 1, log: true}]"], "low must be greater than 0"),
        (["sweep.axes=[{field: optimizer.lr, low: 0.1, high: 1, values: [1]}]"], "and not both"),
        (["sweep.axes=[{field: optimizer.lr, low: 0.1}]"], "give a finite low"),
        (["sweep.axes=[{field: optimizer.lr}]"], "give at least one value"),
        (["sweep.axes=[{field: seed, low: 0, high: 4}]"], "every cell has the same seeds"),
        (["sweep.axes=[{field: rollout.samples, low: 8, high: 64, step: 60}]"], "at most high - low"),
        (["sweep.axes=[{field: optimizer.lr, low: 1e-4, high: 1, step: 1e-4, log: true}]"], "without log"),
    ],
)
def test_mistakes_in_words(words, message):
    with pytest.raises(InputError, match=message):
        composed(*words)


def test_constraints_are_of_objectives():
    assert [*vars(Bounds())] == [*OBJECTIVES]


def test_spaces_are_typed_by_their_fields():
    made = space_of(
        compose_launch(
            [
                "search=random",
                "optimizer.lr=tag(log,interval(1e-4,1e-2))",
                "rollout.samples=interval(8,64)",
                "objective=paper,reference_code",
            ]
        )
    )
    assert made == {
        "optimizer.lr": optuna.distributions.FloatDistribution(1e-4, 1e-2, log=True),
        "rollout.samples": optuna.distributions.IntDistribution(8, 64),
        "objective": optuna.distributions.CategoricalDistribution(["paper", "reference_code"]),
    }
    launch = compose_launch(["search=random", "sweep.axes=[{field: rollout.samples, low: 8.5, high: 64}]"])
    with pytest.raises(InputError, match="holds whole numbers; give whole ends"):
        space_of(launch)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["search=tpe", "model=tiny,tiny_weak"], "points of one base model are compared"),
        (["search=tpe", "model.pretrain.seed=0,1"], "points of one base model are compared"),
        (["search=cmaes", "search.constraints.worst=0.5"], "worst is bounded, and this sampler knows no constraints"),
        (["search=cmaes", "search.objectives=[spread]", "sweep.seeds=2"], "spread does not see that seeds diverged"),
        (["search=cmaes", "search.objectives=[mean,seconds]"], "CmaEsSampler takes one objective"),
        (["search=cmaes", "search.objectives=[mean,worst]"], "CmaEsSampler takes one objective"),
    ],
)
def test_spaces_that_cannot_be_searched(words, message):
    launch = compose_launch([*words, "optimizer.lr=interval(1e-4,1e-2)"])
    with pytest.raises(InputError, match=message):
        space_of(launch)


@pytest.mark.parametrize("words", [["search.objectives=[spread]"], ["search.constraints.spread=0.02"]])
def test_a_point_with_one_score_has_no_spread(words):
    """The sampler is told that it failed; a spread of 0 would be the best there is."""
    launch = composed(*words, "search.prune=0")
    study = World(launch).study()
    over_S = np.ones(SEEDS, bool)
    one = Point(Asked(VALUES), SEEDS, Results(np.array([0.5, *[NAN] * (SEEDS - 1)]), np.ones(SEEDS), over_S), True)
    two = Point(Asked(VALUES), SEEDS, Results(np.array([0.5, 0.51, *[NAN] * 4]), np.ones(SEEDS), over_S), True)
    whole = Point(Asked(VALUES), SEEDS, Results(np.full(SEEDS, 0.5), np.ones(SEEDS), over_S), True)
    assert np.isnan(one.objective("spread"))
    assert study.trial_of(one).state is TrialState.FAIL
    assert study.trial_of(two).state is TrialState.COMPLETE
    assert study.best([one, two, whole]) is whole
    assert study.front([one, two, whole]) == [whole]


def test_a_point_all_of_whose_seeds_diverged_is_never_the_best():
    """The sampler hears of it, as of one that knows nothing."""
    study = World(composed()).study()
    over_S = np.ones(SEEDS, bool)
    lost = Point(Asked(VALUES), SEEDS, Results(np.zeros(SEEDS), np.ones(SEEDS), over_S, diverged=SEEDS), True)
    one = Point(Asked(VALUES), SEEDS, Results(np.array([0.0, *[0.1] * 5]), np.ones(SEEDS), over_S, diverged=1), True)
    dull = Point(Asked(VALUES), SEEDS, Results(np.zeros(SEEDS), np.ones(SEEDS), over_S), True)
    assert study.is_lost(lost)
    assert not study.is_lost(one)
    assert not study.is_lost(dull)
    assert study.best([lost]) is None
    assert study.front([lost]) == []
    assert study.best([lost, dull, one]) is one
    assert study.trial_of(lost).value == 0
