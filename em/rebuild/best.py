"""Which trials of a store are worth a checkpoint: of each base model those that score highest."""

import json
from collections import Counter, defaultdict
from dataclasses import dataclass
from statistics import fmean

from em.errors import InputError
from em.store import Store
from em.trial.written import trial_from


@dataclass(frozen=True)
class Chosen:
    trial_id: str
    accuracy: float  # mean over what was measured
    rank: int  # of its base model's trials, 1 the highest
    among: int  # trials that could be compared

    def __str__(self) -> str:
        return (
            f"Chosen from {self.among} trials of its base model for its accuracy, {100 * self.accuracy:.1f}% in the "
            f"mean, rank {self.rank}: such a choice takes the luckiest too, so the scores below flatter it."
        )


def best(store: Store, count: int, step: int) -> list[Chosen]:
    """The `count` trials of each base model with the highest accuracy after the step, the best first.

    Compared are trials with the same evaluations, of each base model those that most of its trials have; an accuracy is
    their mean.  Raises InputError where nothing was measured then, of weights with a digest.
    """
    measured = defaultdict[str, dict[str, float]](dict)  # trial, evaluation: accuracy
    configs = dict[str, str]()
    rows, _ = store.records()
    for row in rows.select("trial_id", "trial", "digests", "evaluations").iter_rows(named=True):
        if all(digest["step"] < step for digest in row["digests"]):
            continue  # nothing would prove its weights
        for of in row["evaluations"]:
            if of["step"] == step > 0:
                measured[row["trial_id"]].setdefault(of["evaluation_id"], of["accuracy"])
                configs[row["trial_id"]] = row["trial"]
    if not measured:
        raise InputError(
            f"step={step}: store={store.address} has no trial that was measured then; `make show` tells steps"
        )
    by_base = defaultdict[str, list[str]](list)
    for trial, config in sorted(configs.items()):
        by_base[trial_from(json.loads(config)).base.id].append(trial)
    chosen = list[Chosen]()
    for trials in by_base.values():
        kinds = Counter(frozenset(measured[trial]) for trial in trials)
        wanted = max(kinds, key=lambda kind: (kinds[kind], len(kind), sorted(kind)))
        means = {
            trial: fmean(measured[trial][of] for of in wanted) for trial in trials if wanted <= measured[trial].keys()
        }
        ranked = sorted(means, key=lambda trial: (-means[trial], trial))[:count]
        chosen += [Chosen(trial, means[trial], rank, len(means)) for rank, trial in enumerate(ranked, 1)]
    return chosen
