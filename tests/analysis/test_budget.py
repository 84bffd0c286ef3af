"""What answers say of a cell's variance, and the cheapest design: against simulations and sums by hand."""

import numpy as np
import pytest
from numpy.random import default_rng
from numpy.typing import NDArray

from analysis import budget
from analysis.budget import Cost, Variance
from em.evaluation.asked import asked
from em.trial.evaluation import Benchmark, Evaluation

BENCHMARKS, PROBLEMS, SAMPLES, SEEDS = 2, 60, 8, 200
MODELS, SPREAD = 0.03, 0.05  # standard deviations of seeds' accuracies, and of problems of a stratum


def accuracies(rng: np.random.Generator, seeds: int) -> NDArray:
    """True ones, [seed, benchmark, problem], and the base model's, the last: problems of three strata."""
    level_P = np.repeat([0.3, 0.5, 0.7], PROBLEMS // 3)
    problem_BP = level_P + SPREAD * rng.choice([-1.0, 1.0], size=(BENCHMARKS, PROBLEMS))
    seed_S = MODELS * rng.normal(size=seeds)
    own = problem_BP + seed_S[:, None, None]
    return np.concatenate([own, np.broadcast_to(level_P, (1, BENCHMARKS, PROBLEMS))])


def cell(common: bool) -> tuple[list[NDArray], list[NDArray]]:
    """correct_SPK of each benchmark, with the same random numbers for all or not; the base model's accuracies."""
    rng = default_rng(1)
    true = accuracies(rng, SEEDS)
    luck = rng.random((1 if common else len(true), BENCHMARKS, PROBLEMS, SAMPLES))
    correct = (luck < true[..., None]).astype(float)
    return [correct[:-1, at] for at in range(BENCHMARKS)], [np.repeat(true[-1, 0][:, None], 2, axis=1)] * BENCHMARKS


@pytest.mark.parametrize("common", [True, False])
def test_variances_are_those_that_answers_were_drawn_with(common):
    correct, base = cell(common)
    found = budget.variance([correct, correct], base)
    assert found.models**0.5 == pytest.approx(MODELS, rel=0.1)
    p = np.concatenate([np.repeat([0.3, 0.5, 0.7], 2) + [-SPREAD, SPREAD] * 3])
    assert found.answers_B == pytest.approx([np.mean(p * (1 - p)) - MODELS**2] * 2, rel=0.05)
    assert found.problems_B == pytest.approx([SPREAD**2] * 2, abs=0.004)  # a small part of what is seen
    assert found.common == pytest.approx(1.0 if common else 0.0, abs=0.15)
    assert (found.total_B == PROBLEMS).all()


def test_problems_without_strata_vary_as_all_of_a_benchmark_do():
    correct, base = cell(common=False)
    levels = np.repeat([0.3, 0.5, 0.7], PROBLEMS // 3).var(ddof=1)
    found = budget.variance([correct], [np.zeros_like(accuracy_PK) for accuracy_PK in base])
    assert found.problems_B == pytest.approx([levels + SPREAD**2] * 2, rel=0.1)


def test_greedy_answers_have_no_chance_in_them():
    correct, base = cell(common=True)
    found = budget.variance([[correct_SPK[:, :, :1] for correct_SPK in correct]], base)
    assert (found.answers_B.tolist(), found.common) == ([0, 0], 0)


def test_a_seed_that_is_asked_some_problems_varies_as_predicted():
    """20 of 60 problems of each benchmark, one answer each, drawn as trials are: against 4,000 trials."""
    rng = default_rng(2)
    true = accuracies(rng, 1)[0]
    strata = budget.strata(np.repeat([0.3, 0.5, 0.7], PROBLEMS // 3)[:, None])
    of = Evaluation(
        benchmark=Benchmark(name="b", suite="sum", grader="tiny"),
        **{"temperature": 1.0, "top_p": 1.0, "samples": 1, "seed": 0, "problems": 20, "strata": strata},
    )
    scores = []
    for seed in range(4000):
        places = asked(of, seed, PROBLEMS)
        scores.append((rng.random((BENCHMARKS, 20)) < true[:, places]).mean())
    assert np.mean(scores) == pytest.approx(true.mean(), abs=4 * np.std(scores) / 4000**0.5)
    answers_B, problems_B = (true * (1 - true)).mean(axis=1), np.full(2, SPREAD**2)
    predicted = Variance(0.0, answers_B, problems_B, np.array([PROBLEMS] * 2), 0.0).of_seed(20, 1)
    assert np.var(scores) == pytest.approx(predicted, rel=0.06)


def known(models: float = 0.02**2, answers: float = 0.2, problems: float = 0.0, common: float = 0.9) -> Variance:
    return Variance(models, np.full(4, answers), np.full(4, problems), np.array([100, 100, 100, 40]), common)


def test_what_a_seed_varies_by_is_summed_over_benchmarks():
    assert known().of_seed(100, 8) == pytest.approx(0.02**2 + 0.2 / 8 * (3 / 100 + 1 / 40) / 16)
    drawn = known(problems=0.1).of_seed(50, 1) - known().of_seed(50, 1)
    assert drawn == pytest.approx(3 * 0.1 / 50 * 0.5 / 16)  # all problems of the smallest are asked


def test_common_numbers_leave_noise_that_no_number_of_seeds_takes_away():
    of = known()
    shared = 0.9 * (of.of_seed(100, 8) - of.models)
    many = budget.common_half_width(of, 4000, 8)
    assert many == pytest.approx(1.96 * shared**0.5, rel=0.02)
    few = float(budget.half_width(of.models + shared / 9, np.array(16)))
    assert budget.common_half_width(of, 16, 8) == pytest.approx(np.hypot(few, 1.96 * shared**0.5), rel=1e-4)
    assert few == pytest.approx(1.04 * 2.131 * ((of.models + shared / 9) / 16) ** 0.5, rel=1e-3)


def test_the_plan_is_the_cheapest_that_reaches_the_target():
    of, cost = known(problems=0.02), Cost(trial=30.0, answer=0.1)
    target = float(budget.half_width(of.of_seed(100, 8), np.array(16)))
    made = budget.plan(of, target, cost, 16)
    assert made is not None
    assert made.half <= target * (1 + 1e-9)
    assert made.half == pytest.approx(
        float(budget.half_width(of.of_seed(made.problems, made.samples), np.array(made.seeds)))
    )
    assert made.answers == sum(min(made.problems, total) for total in (100, 100, 100, 40)) * made.samples
    assert made.seconds == pytest.approx(made.seeds * (30 + 0.1 * made.answers))
    others = [
        budget.plan(of, target, cost, 16, [samples], [problems]) for samples in (1, 2, 8) for problems in (20, 50, 100)
    ]
    assert min(other.seconds for other in others if other) >= made.seconds
    avg8 = 16 * (30 + 0.1 * 340 * 8)
    assert made.seconds < 0.45 * avg8
    assert made[:3] == (29, 53, 2)


def test_at_the_size_of_the_paper_a_seventh_of_the_time_is_enough():
    """Seeds two points apart; a trial and an answer of 7B take what sweeps.stated says of an H100."""
    total_B = np.array([500, 272, 675, 40, 700, 500])
    of, cost = Variance(0.02**2, np.full(6, 0.17), np.full(6, 0.03), total_B, 0.5), Cost(trial=60.0, answer=0.0472)
    target = float(budget.half_width(of.of_seed(700, 8), np.array(16)))
    made = budget.plan(of, target, cost, 16)
    assert made is not None
    assert made[:4] == (27, 51, 2, 590)
    full = total_B.sum() * 8
    assert made.seconds / (16 * (60 + 0.0472 * full)) == pytest.approx(1 / 7.2, rel=0.02)
    assert made.seeds * made.answers / (16 * full) < 1 / 20


def test_where_only_answers_vary_nothing_is_saved_and_seeds_are_never_fewer():
    of, cost = known(models=0.0)._replace(total_B=np.array([100] * 4)), Cost(trial=1000.0, answer=0.001)
    target = float(budget.half_width(of.of_seed(100, 8), np.array(16)))
    made = budget.plan(of, target, cost, 16)
    assert made is not None
    assert made[:4] == (16, 100, 8, 3200)
    loose = budget.plan(of, 1.0, cost, 16)
    assert loose is not None
    assert (loose.seeds, loose.problems, loose.samples) == (16, 5, 1)


def test_seeds_that_get_no_score_are_planned_too():
    of, cost = known(problems=0.02), Cost(trial=30.0, answer=0.1)
    target = float(budget.half_width(of.of_seed(100, 8), np.array(16)))
    made = budget.plan(of, target, cost, 2, scored=0.3)
    assert made is not None
    variance = of.of_seed(made.problems, made.samples)
    assert made.half == pytest.approx(float(budget.half_width(variance, np.floor(np.array(made.seeds * 0.3)))))
    assert made.half <= target < float(budget.half_width(variance, np.floor(np.array((made.seeds - 1) * 0.3))))
    assert made.seconds == pytest.approx(made.seeds * (30 + 0.1 * 0.3 * made.answers))  # which are not measured
    assert budget.with_score(np.arange(6, 11), 0.3).tolist() == [1, 2, 2, 2, 3]


def test_fewer_than_two_seeds_have_no_interval():
    assert budget.half_width(0.1, np.array([0, 1])).tolist() == [np.inf, np.inf]
    loose = budget.plan(known(), 1.0, Cost(1.0, 0.1), 1)
    assert loose is not None
    assert loose.seeds == 2


def test_answers_that_are_nearly_all_alike_are_below_the_resolution():
    base = [np.zeros((20, 8))] * 2
    for right, is_below in ((0, True), (3, True), (20, False)):  # of 4 seeds with 320 answers each
        correct = [np.zeros((4, 20, 8)) for _ in range(2)]
        for place in range(right):
            correct[place % 2][place % 4, place, 0] = 1
        assert budget.is_below_resolution([correct], budget.variance([correct], base)) == is_below


def test_a_target_that_no_number_of_seeds_reaches_has_no_plan():
    assert budget.plan(known(), 1e-5, Cost(1.0, 0.001), 16) is None


def test_strata_are_digits_of_the_accuracy():
    assert budget.strata(np.array([[0, 0, 0, 0], [1, 0, 0, 0], [1, 1, 0, 0], [1, 1, 1, 1]])) == "0249"
