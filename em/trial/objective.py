"""What is minimised."""

from dataclasses import dataclass

from em.errors import require_positive
from em.trial.identity import not_identity


@dataclass(kw_only=True)
class Objective:
    """Entropy minimisation: the mean token entropy of the model's own samples."""

    loss_temperature: float = 1.0  # logits are divided by it before the softmax (published code: 0.5)
    first_token: bool = True  # count the distribution of the first generated token (published code: no)
    micro_batch_tokens: int = not_identity(default=16_384)  # padded, of one forward pass: changes nothing but rounding

    def __post_init__(self) -> None:
        require_positive("objective", loss_temperature=self.loss_temperature)
        require_positive("objective", micro_batch_tokens=self.micro_batch_tokens)
