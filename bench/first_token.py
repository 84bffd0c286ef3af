"""Seconds from asking the engine for a trial's 64 first samples to the first token of each: the median of 20.

python -m bench.first_token
"""

import time
from statistics import median

from em.cli.compose import compose_trial
from em.quiet import quiet_libraries


def first_token_seconds() -> float:
    quiet_libraries()
    from em.rollout import Request
    from em.train.trainer import Trainer

    trial = compose_trial(["prompts.texts=['3+8+5+2?']"]).trial
    phase = trial.phase
    assert phase is not None
    trainer = Trainer(trial.model, trial.engine)
    prompt = trainer.reader.encode(phase.prompts.texts[0], phase.rollout.max_new_tokens)
    samples, taken = phase.rollout.samples, []
    for seed in range(20):
        request = Request(prompt=prompt, seed=seed << 20, samples=samples, max_new_tokens=1)
        start = time.perf_counter()
        trainer.policy.generate([request])
        taken.append(time.perf_counter() - start)
    return median(taken)


if __name__ == "__main__":
    print(first_token_seconds())
