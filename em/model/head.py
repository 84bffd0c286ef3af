"""From hidden states to logits: `cap * tanh(scale * (hidden @ weight.T + bias) / cap)`; few models have cap or bias.

N positions, H hidden width, V vocabulary.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import PreTrainedModel


@dataclass(frozen=True)
class Head:
    weight_VH: Tensor
    bias_V: Tensor | None = None
    scale: float = 1.0
    cap: float | None = None

    @classmethod
    def of(cls, model: PreTrainedModel) -> "Head":
        """A model's output head, with what its config says beside: Granite divides, Cohere multiplies, Gemma 2 caps."""
        output, config = model.get_output_embeddings(), model.config.get_text_config()
        scale = getattr(config, "logit_scale", None) or 1 / (getattr(config, "logits_scaling", None) or 1)
        cap = getattr(config, "final_logit_softcapping", None)
        return cls(output.weight, getattr(output, "bias", None), float(scale), cap)  # type: ignore[union-attr, arg-type]

    def logits(self, hidden_NH: Tensor) -> Tensor:
        """[N, V], in fp32 or better."""
        logits_NV = hidden_NH @ self.weight_VH.T
        logits_NV = logits_NV.to(torch.promote_types(logits_NV.dtype, torch.float32))
        if self.bias_V is not None:
            logits_NV += self.bias_V
        if self.scale != 1:
            logits_NV *= self.scale
        return logits_NV if self.cap is None else self.cap * torch.tanh(logits_NV / self.cap)

    def slope(self, grad_NV: Tensor, logits_NV: Tensor) -> Tensor:
        """The gradient by `hidden @ weight.T + bias`, given that by the logits."""
        if self.cap is not None:
            grad_NV = grad_NV * (1 - (logits_NV / self.cap).square())
        return grad_NV if self.scale == 1 else grad_NV * self.scale


def entropy_terms(logp_NV: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """p [N, V], p log p [N, V] with 0 log 0 = 0, and the entropy -sum_v p log p [N]."""
    p_NV = logp_NV.exp()
    plogp_NV = torch.where(p_NV > 0, p_NV * logp_NV, 0.0)
    return p_NV, plogp_NV, -plogp_NV.sum(-1)
