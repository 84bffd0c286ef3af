"""A lane closes one model's engine and opens the next one's in the same process."""

import gc

import pytest
import torch

from em.model.loading import load
from em.rollout import open_engine
from em.trial.model import Model
from em.trial.rollout import EngineConfig, EngineName


@pytest.mark.slow
def test_an_engine_may_follow_a_closed_one(checkpoint):
    """vLLM keeps its process groups in global state: what is left of the first engine must not end the second."""
    pytest.importorskip("vllm", reason="vLLM does not import here", exc_type=ImportError)
    rollout = EngineConfig(engine=EngineName.vllm, max_num_seqs=64)
    fingerprints = []
    for tied in (True, False):
        engine = open_engine(checkpoint(tied), rollout, Model(path=str(checkpoint(tied))))
        engine.push(load(checkpoint(tied), torch.float32).state_dict())
        gc.collect()
        fingerprints.append(engine.fingerprint())
        engine.close()
    assert fingerprints[0] != fingerprints[1]
