"""Trains and measures one trial after another: sample, step, push, measure.

Departs from the paper's published code where that counts micro-batches as steps and averages their means: here a step
is one optimiser update over all samples, and the loss is normalised by the token count of the whole step.
"""

import traceback
from collections.abc import Mapping

from em.errors import InputError
from em.evaluation.evaluate import Evaluator
from em.model.checkpoint import cache_folder, checkpoint_folder
from em.model.loading import refused
from em.rollout import prepare
from em.rollout.reader import Reader
from em.store.record import Record, Status
from em.store.states import States
from em.train.course import Course, DivergedError
from em.train.group import open_policy
from em.train.policy import Policy
from em.train.replay import DriftedError
from em.train.selection import Selector
from em.train.trajectory import Finished, OnStep
from em.trial.model import Model
from em.trial.rollout import EngineConfig
from em.trial.trial import Trial
from em.trial.unit import Unit


class EngineCorruptError(RuntimeError):
    """The engine does not answer as it did with the base weights: this process must not record anything more."""


class Trainer:
    """One policy, loaded once; `run` takes it through a trial, `reset` back to the base weights (a Runner)."""

    def __init__(self, model: Model, engine: EngineConfig, policy: Policy | None = None) -> None:
        folder = checkpoint_folder(model)
        with refused(f"model.path={folder}: cannot be trained as it is"):
            self.policy = policy or open_policy(folder, model, engine)
            self.reader = Reader(folder, model, self.policy.context)
            self.fingerprint = self.policy.fingerprint()
        self.device = self.policy.device
        self.evaluator = Evaluator(self.policy, self.reader, self.policy)
        base = Trial(model=model, engine=engine)
        self.selector = Selector(base.id, self.evaluator, cache_folder() / "selections")
        self.is_base = True

    @staticmethod
    def prepare(model: Model, engine: EngineConfig) -> None:
        """As Runner says."""
        prepare(model, engine)

    def run(
        self, unit: Unit, on_step: OnStep, recorded: Mapping[str, Record], states: States | None = None
    ) -> Finished:
        """As Runner says."""
        self.reset()
        self.is_base = False
        course = Course(unit, self.policy, self.evaluator, self.selector, on_step, recorded, states)
        status, error = Status.done, None
        try:
            course.follow()
        except DriftedError:
            if states is not None:
                states.drop_unfinished(unit.id)
            return self.run(unit.anew, on_step, {}, states)
        except DivergedError as reason:
            status, error = Status.diverged, str(reason)
        except InputError:
            raise
        except Exception:
            status, error = Status.failed, traceback.format_exc()
        trajectory = course.finish()
        trajectory.status, trajectory.error = status, error
        replayed = recorded.get(unit.trial.id)
        return Finished(unit, trajectory, replayed.provenance.attempt_id if replayed else None, course.resumed)

    def reset(self) -> None:
        """Back to the base weights, in model and engine; does nothing where they are already there.

        Raises EngineCorruptError where the engine then answers otherwise than when it was new.
        """
        if self.is_base:
            return
        self.policy.restore()
        self.policy.push()
        if self.policy.fingerprint() != self.fingerprint:
            self.policy.clear_cache()  # non-finite keys and values outlive the weights that made them
            if self.policy.fingerprint() != self.fingerprint:
                raise EngineCorruptError("with the base weights restored the engine answers otherwise than when new")
        self.is_base = True

    def close(self) -> None:
        self.evaluator.close()
        self.policy.close()
