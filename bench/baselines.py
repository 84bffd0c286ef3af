"""What a sweep is compared with: a plain ActorPool that writes a file a trial, and Tune with one trial a model.

python -m bench.baselines actor_pool|tune_alone FOLDER TRIALS
"""

import json
import logging
import os
import sys
import time
from pathlib import Path

import ray
from ray import tune
from ray.util import ActorPool

ACTORS = 2
TO_BE_READ = 2.0  # seconds that the driver stays, since it is measured from outside


def actor_pool(folder: Path, trials: int) -> None:
    @ray.remote
    class Actor:
        def work(self, number: int) -> int:
            (folder / "records" / f"{number}.json").write_text(json.dumps({"trial": number, "accuracy": 0.5}))
            return number

    pool = ActorPool([Actor.remote() for _ in range(ACTORS)])
    for _ in pool.map_unordered(lambda actor, number: actor.work.remote(number), list(range(trials))):
        pass


def tune_alone(folder: Path, trials: int) -> None:
    (folder / "starts").mkdir()

    class Model(tune.Trainable):
        def setup(self, config: dict) -> None:
            (folder / "starts" / f"{os.getpid()}-{time.time_ns()}").touch()

        def step(self) -> dict:
            (folder / "records" / f"{self.config['number']}.json").write_text(json.dumps({"accuracy": 0.5}))
            return {"accuracy": 0.5, "done": True}

        def reset_config(self, new_config: dict) -> bool:
            return True

    tune.Tuner(
        tune.with_resources(Model, {"cpu": 1}),
        param_space={"number": tune.grid_search(list(range(trials)))},
        tune_config=tune.TuneConfig(reuse_actors=True, max_concurrent_trials=ACTORS),
        run_config=tune.RunConfig(
            storage_path=str(folder / "tune"),
            verbose=0,
            checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
        ),
    ).fit()


def main(name: str, folder: Path, trials: int) -> None:
    (folder / "records").mkdir(parents=True)
    ray.init("local", include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
    {"actor_pool": actor_pool, "tune_alone": tune_alone}[name](folder, trials)
    time.sleep(TO_BE_READ)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]))
