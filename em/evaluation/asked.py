"""What a trial is asked of a benchmark, and with which random numbers its answers are drawn."""

from em.trial.evaluation import Evaluation, Numbers
from em.trial.seeds import BITS, stream


def asked(evaluation: Evaluation, seed: int, total: int) -> list[int]:
    """Which of a benchmark's problems a trial of this seed is asked, in their order.

    A systematic sample through the problems, sorted by stratum: each stratum has its share, rounded up or down, and
    each problem the same chance, so that the plain mean over what is asked is an unbiased estimate of that over all.
    Where the sample starts and how a stratum is ordered is drawn by the seed.
    """
    number = min(evaluation.problems or total, total)
    if number == total:
        return list(range(total))
    words, strata = (evaluation.seed, evaluation.benchmark.name, seed), evaluation.strata or " " * total
    ordered = sorted(range(total), key=lambda place: (strata[place], stream("problem", *words, place)))
    start = stream("problems", *words)
    return sorted(ordered[((turn << BITS) + start) * total // (number << BITS)] for turn in range(number))


def stream_of(evaluation: Evaluation, seed: int, place: int) -> int:
    """The random stream of the answers to a problem, of a trial of this seed."""
    own = (seed,) if evaluation.numbers is Numbers.own else ()
    return stream("evaluation", evaluation.seed, evaluation.benchmark.name, place, *own)
