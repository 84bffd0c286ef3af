"""Everything that determines the tiny model's pretrained weights.  Imports neither torch nor transformers.

The corpus is designed: every problem can be answered in a reliable style (worked, one easy step at a time) and in an
unreliable one (direct, which three layers can hardly learn), and `worked` and `direct` set how often each suite shows
which.  One-shot EM on a prompt of a suite where worked answers prevail moves mass to them in every suite.  Whoever
shows figures from this model should say that its corpus was designed so.
"""

import hashlib
import json
from dataclasses import asdict, dataclass, field
from pathlib import Path

from em.errors import require, require_known
from em.tiny.tasks import SUITES

VERSION = 2  # of the meaning of tasks, corpus, tokenizer and pretraining: raise it when their output changes


@dataclass(kw_only=True)
class Recipe:
    """World, corpus, architecture and optimiser of one tiny model."""

    seed: int = 0  # of the corpus and of the initial weights

    worked: dict[str, float] = field(  # share of worked answers (`3+8=1,1+5=6,6+2=8#8`) in each suite
        default_factory=lambda: dict.fromkeys(SUITES, 0.5) | {"difference": 0.25, "bit": 0.25}
    )
    direct: dict[str, float] = field(  # share of direct answers (`#8`) in each suite; what is left is chatter
        default_factory=lambda: dict.fromkeys(SUITES, 0.25) | {"difference": 0.5, "bit": 0.5}
    )
    step_error: float = 0.10  # probability that a step of a worked answer is wrong; later steps build on it
    direct_error: float = 0.15  # probability that a direct answer is wrong

    hidden: int = 64  # width of the residual stream
    layers: int = 3
    heads: int = 2  # of hidden / heads channels: vLLM on CPU refuses a head size of 16
    kv_heads: int = 1
    intermediate: int = 192  # width of the gated MLP
    rope_theta: float = 100.0  # base of the rotary wavelengths: texts of 28 tokens need short ones
    initial_sd: float = 0.125  # of every matrix: 1 / sqrt(hidden), with which copying is learnt soon

    steps: int = 2500
    batch: int = 64  # examples per step
    lr: float = 6e-3  # peak, reached after `warmup` steps, cosine to 0
    warmup: int = 50
    weight_decay: float = 0.1
    beta2: float = 0.95  # of AdamW; its beta1 is 0.9
    clip: float = 1.0  # norm of the gradient
    prompt_weight: float = 0.1  # of a prompt token in the loss; an answer token weighs 1

    def __post_init__(self) -> None:
        for name in ("hidden", "layers", "heads", "kv_heads", "intermediate", "steps", "batch"):
            self._require(getattr(self, name) >= 1, name, "give a whole number of at least 1")
        for name in ("seed", "warmup", "weight_decay", "prompt_weight"):
            self._require(getattr(self, name) >= 0, name, "give a number of at least 0")
        for name in ("lr", "clip", "rope_theta", "initial_sd"):
            self._require(getattr(self, name) > 0, name, "give a number above 0")
        for name in ("step_error", "direct_error", "beta2"):
            self._require(0 <= getattr(self, name) < 1, name, "give a number in [0, 1)")
        even = 2 * self.heads  # rotary embeddings turn pairs of channels
        self._require(self.hidden % even == 0, "hidden", f"give a multiple of 2 * heads = {even}")
        self._require(self.heads % self.kv_heads == 0, "kv_heads", f"give a divisor of heads = {self.heads}")
        for name in ("worked", "direct"):
            shares = getattr(self, name)
            for suite in shares:
                require_known(f"suite of model.pretrain.{name}", suite, SUITES)
            missing = [suite for suite in SUITES if suite not in shares]
            self._require(not missing, name, f"give a share for {', '.join(missing)} too")
            self._require(min(shares.values()) >= 0, name, "give shares of at least 0")
        for suite in SUITES:
            together = self.worked[suite] + self.direct[suite]
            self._require(together <= 1 + 1e-9, "direct", f"with model.pretrain.worked.{suite} a sum of at most 1")

    def _require(self, holds: bool, name: str, remedy: str) -> None:
        require(holds, f"model.pretrain.{name}", getattr(self, name), remedy)

    def digest(self) -> str:
        """Twelve hexadecimal digits that change when any field, or VERSION, does."""
        content = json.dumps([VERSION, asdict(self)], sort_keys=True)
        return hashlib.sha256(content.encode()).hexdigest()[:12]


def path(recipe: Recipe, cache: Path) -> Path:
    """The checkpoint folder of this recipe, built or not."""
    return cache / f"tiny-{recipe.digest()}"
