"""Libraries that talk at import or start: how they are told not to.  Called by programs, never on import."""

import logging
import os
import warnings

SETTINGS = {
    "TORCH_CPP_LOG_LEVEL": "ERROR",  # vLLM's note on NUMA binding
    "PYTHONWARNINGS": "ignore",  # FutureWarnings of torch.distributed, raised while vLLM looks for Triton
    "TRANSFORMERS_VERBOSITY": "error",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "VLLM_LOGGING_LEVEL": "ERROR",
    "VLLM_NO_USAGE_STATS": "1",
    "TQDM_DISABLE": "1",
    "TORCHAO_FORCE_SKIP_LOADING_SO_FILES": "1",  # we use its optimiser, which is Python; kernels want their own torch
}


def quiet_libraries() -> None:
    """For this process, before it imports torch, transformers or vLLM; child processes take the SETTINGS."""
    os.environ.update(SETTINGS)
    warnings.simplefilter("ignore")
    # torch warns on every machine without Triton, and of how torchao registers its types.
    for name in ("vllm", "torch._library.triton", "torchao", "torch.utils._pytree"):
        logging.getLogger(name).setLevel(logging.ERROR)
