"""What TRL's GRPOTrainer makes of fixed inputs: tests/golden/trl.json and tests/golden/trl.safetensors, in float64.

    .venv/bin/python tests/train/trl_reference.py [FOLDER]

A real GRPOTrainer gets prompts, answers and rewards through its `rollout_func` and a reward function.  It pads, makes
advantages and the reference model's log-probabilities, and its `compute_loss` the loss.  Old log-probabilities come
from outside where a case has them, for TRL's own are those before any update: all ratios 1.  What float64 takes:
- TRL's fused head sums in float32: TRL's own function of all logits takes its place.  Each case is also run with the
  fused head, which agrees as far as float32 goes.
- Rewards get torch's default type, set to float64 here.  TRL rounds them to float32 first: the ones here are exact.
- transformers has Qwen3's norms and rotary angles in float32.  With those here, padding changes nothing.
All is compared to `formula`, which pads nothing and uses no code of TRL.  Clip ratios are float32 in TRL.
"""

import json
import re
import sys
import tempfile
from importlib.metadata import version
from itertools import chain, cycle
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from datasets import Dataset
from safetensors.torch import save_file
from tokenizers import Tokenizer, models
from torch import Tensor
from transformers import PreTrainedTokenizerFast, Qwen3Config, Qwen3ForCausalLM
from transformers.models.qwen3 import modeling_qwen3

GOLDEN = Path(__file__).parents[1] / "golden"
EOS, VOCABULARY, GROUP = 1, 32, 4
CONFIG: dict[str, Any] = {"vocab_size": VOCABULARY, "hidden_size": 16, "intermediate_size": 16, "head_dim": 8}
CONFIG |= {"num_hidden_layers": 1, "num_attention_heads": 2, "num_key_value_heads": 1, "tie_word_embeddings": False}
PROMPTS = [[5, 17, 9], [22], [8, 30, 2, 13, 26, 11]]
LENGTHS = torch.tensor([3, 7, 1, 5, 2, 6, 4, 7, 1, 5, 3, 4])  # of the answers, GROUP to each prompt
REWARDS = {
    "binary": [1.0, 0.0, 0.0, 1.0, *(1.0, 1.0, 1.0, 1.0), 0.0, 0.0, 0.0, 1.0],
    "real": [0.25, 1.5, -0.75, 0.5, *(2.0, 0.125, 0.125, 1.0), 0.875, -1.25, 0.0, 0.375],
}
LOG_RATIOS = [0.4, -0.5, 0.05, -0.3, 0.2, 0.6, -0.1]  # in turn; 0.2 is clipped by epsilon 0.2, not by 0.28
CLIP = {"max_completion_length": 8, "epsilon": 0.2, "epsilon_high": 0.28}
PLAIN_KL = CLIP | {"use_bias_correction_kl": False}
CASES = {  # rewards, whether there are old log-probabilities; loss_type, scale_rewards, beta, temperature and the rest
    "grpo": ("binary", False, "grpo", "group", 0.0, 1.0, CLIP),
    "grpo_old": ("binary", True, "grpo", "group", 0.0, 1.0, CLIP),
    "grpo_old_symmetric": ("real", True, "grpo", "batch", 0.0, 0.7, CLIP | {"epsilon_high": None}),
    "grpo_old_kl": ("real", True, "grpo", "group", 0.04, 0.7, CLIP),
    "grpo_kl": ("real", False, "grpo", "batch", 0.04, 1.0, CLIP),
    "bnpo_old": ("binary", True, "bnpo", "batch", 0.0, 1.0, CLIP),
    "bnpo_kl_plain": ("real", False, "bnpo", "group", 0.04, 0.7, PLAIN_KL),
    "dr_grpo": ("binary", False, "dr_grpo", "none", 0.0, 1.0, CLIP),
    "dr_grpo_old_kl": ("real", True, "dr_grpo", "none", 0.04, 1.0, CLIP),
    "dapo_old": ("real", True, "dapo", "group", 0.0, 1.0, CLIP),
    "dapo_kl": ("binary", False, "dapo", "none", 0.04, 0.7, CLIP),
    "dapo_old_kl_plain": ("binary", True, "dapo", "group", 0.04, 1.0, PLAIN_KL),
}


def rms_norm(self: Any, hidden_states: Tensor) -> Tensor:
    return torch.nn.functional.rms_norm(hidden_states, self.weight.shape, self.weight, self.variance_epsilon)


def rotary(self: Any, x: Tensor, position_ids: Tensor) -> tuple[Tensor, Tensor]:
    angle = position_ids[..., None].to(x.dtype) * self.inv_freq.to(x.dtype).repeat(2)
    return angle.cos(), angle.sin()


def random_model(noise: float = 0.0) -> Qwen3ForCausalLM:
    torch.manual_seed(1)
    model = Qwen3ForCausalLM(Qwen3Config(**CONFIG))
    for parameter in model.parameters():
        parameter.data.normal_(float(parameter.dim() == 1), 0.4)  # a norm's weights lie around 1
        parameter.data += noise * torch.randn_like(parameter)
    return model


def logprobs(model: Qwen3ForCausalLM, prompt: list[int], answer: list[int], temperature: float) -> Tensor:
    logits = model(input_ids=torch.tensor([prompt + answer])).logits[0, len(prompt) - 1 : -1]
    return (logits / temperature).log_softmax(-1)[range(len(answer)), answer]


def formula(case: dict[str, Any], model: Qwen3ForCausalLM, new: Tensor) -> dict[str, Any]:
    """What `by_trl` should give."""
    args, rewards = case["settings"], torch.tensor(REWARDS[case["rewards"]]).view(-1, GROUP)
    spread = {"group": rewards.std(1, keepdim=True) + 1e-4, "batch": rewards.std() + 1e-4, "none": 1.0}
    advantages = ((rewards - rewards.mean(1, keepdim=True)) / spread[args["scale_rewards"]]).flatten()
    advantage, length = (x.repeat_interleave(LENGTHS) for x in (advantages, LENGTHS))  # of each token
    ratio = (new - (torch.tensor([*chain(*case["old_logprobs"])]) if case["old_logprobs"] else new.detach())).exp()
    low, high = 1 - args["epsilon"], 1 + (args["epsilon_high"] or args["epsilon"])
    loss, kl = -torch.minimum(ratio * advantage, ratio.clamp(low, high) * advantage), torch.zeros(())
    if args["beta"]:
        gap = torch.tensor([*chain(*case["base_logprobs"])]) - new
        kl = (gap.exp() - gap - 1) * (ratio if args.get("use_bias_correction_kl", True) else 1.0)
    tokens = {"grpo": len(LENGTHS) * length, "dr_grpo": len(LENGTHS) * args["max_completion_length"]}
    loss = ((loss + args["beta"] * kl) / tokens.get(args["loss_type"], len(new))).sum()
    clipped = torch.stack([(ratio < low) & (advantage < 0), (ratio > high) & (advantage > 0)])
    clip_ratio = torch.stack([*clipped, clipped.any(0)]).float().mean(1).tolist()
    return results(model, advantages, loss, kl.mean().item(), clip_ratio)


def results(model: Qwen3ForCausalLM, advantages: Tensor, loss: Tensor, kl: float, clip_ratio: list[float]) -> Any:
    names, parameters = zip(*model.named_parameters(), strict=True)
    values: dict[str, Any] = {"advantages": advantages.tolist(), "loss": loss.item(), "kl": kl}
    values["clip_ratio"] = dict(zip(("low", "high", "region"), clip_ratio, strict=True))
    return values | {"gradient": dict(zip(names, torch.autograd.grad(loss, parameters), strict=True))}


def by_trl(case: dict[str, Any], answers: list[list[int]], base: Qwen3ForCausalLM, exact: bool) -> dict[str, Any]:
    import trl.trainer.utils as utils
    from trl.trainer.grpo_config import GRPOConfig
    from trl.trainer.grpo_trainer import GRPOTrainer

    def all_logits(hidden: Tensor, weight: Tensor, bias: None, target: Tensor, temperature: float, *_: Any) -> Any:
        both = utils.selective_log_softmax_and_entropy(hidden @ weight.T, target, False, temperature)
        return *both, None, None, None

    rows = [{"prompt": str(k // GROUP)} for k in range(len(answers))]
    drawn = {"prompt_ids": [PROMPTS[k // GROUP] for k in range(len(answers))], "completion_ids": answers}
    words = Tokenizer(models.WordLevel({f"<{i}>": i for i in range(VOCABULARY)}, unk_token="<2>"))
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=words, pad_token="<0>", eos_token=f"<{EOS}>")
    size = {"num_generations": GROUP, "per_device_train_batch_size": len(answers)}
    machine = {"use_cpu": True, "bf16": False, "gradient_checkpointing": False, "report_to": "none"}
    model, head = random_model(), mock.Mock(apply=all_logits) if exact else utils._ChunkedLogProbFunction  # type: ignore[attr-defined]
    with tempfile.TemporaryDirectory() as folder, mock.patch.object(utils, "_ChunkedLogProbFunction", head):
        base.save_pretrained(folder)
        model.config._name_or_path = folder  # where TRL finds the reference model
        args = GRPOConfig(folder, **(size | machine | case["settings"]))
        inputs: dict[str, Any] = {"args": args, "train_dataset": Dataset.from_list(rows), "processing_class": tokenizer}
        inputs["rollout_func"] = lambda *_: drawn | {"logprobs": None}
        trainer: Any = GRPOTrainer(model, lambda **_: [*REWARDS[case["rewards"]]], **inputs)
        trainer.current_gradient_accumulation_steps = 1  # set by Trainer.train
        batch = trainer._generate_and_score_completions(rows)
        for k, old in enumerate(case["old_logprobs"] or []):  # first TRL's own, of the model as it is now
            row, now = batch["old_per_token_logps"][k, : len(old)], torch.tensor(case["logprobs"][k])
            torch.testing.assert_close(row.double(), now, rtol=0, atol=1e-12 if exact else 1e-5)
            row.copy_(torch.tensor(old))
        loss = trainer.compute_loss(model, batch)
    metrics = {key: values[-1] for key, values in trainer._metrics["train"].items()}
    clip_ratio = [metrics[f"clip_ratio/{side}_mean"] for side in ("low", "high", "region")]
    return results(model, batch["advantages"], loss, metrics.get("kl", 0.0), clip_ratio)


def main() -> None:
    torch.set_default_dtype(torch.float64)
    modeling_qwen3.Qwen3RMSNorm.forward = rms_norm
    modeling_qwen3.Qwen3RotaryEmbedding.forward = rotary
    model, base = random_model(), random_model(noise=0.04)
    answers = [[*torch.randint(2, VOCABULARY, (n - 1,)).tolist(), EOS if n % 2 else n] for n in LENGTHS.tolist()]
    pairs = [(PROMPTS[k // GROUP], answer) for k, answer in enumerate(answers)]
    tensors = {f"{of}/{key}": x for of, m in (("model", model), ("base", base)) for key, x in m.state_dict().items()}
    cases: dict[str, Any] = {}
    for name, (rewards, has_old, loss_type, scale_rewards, beta, temperature, rest) in CASES.items():
        settings = {"loss_type": loss_type, "scale_rewards": scale_rewards, "beta": beta, "temperature": temperature}
        new, ratio = [logprobs(model, *pair, temperature) for pair in pairs], cycle(LOG_RATIOS)
        old = [[x - next(ratio) for x in row.tolist()] for row in new] if has_old else None
        of_base = [logprobs(base, *pair, temperature).tolist() for pair in pairs] if beta else None
        case = {"rewards": rewards, "settings": settings | {"num_iterations": 1 + has_old} | rest}
        case |= {"logprobs": [row.tolist() for row in new], "old_logprobs": old, "base_logprobs": of_base}
        expected = formula(case, model, torch.cat(new))
        fused, result = (by_trl(case, answers, base, exact) for exact in (False, True))
        torch.testing.assert_close(fused, expected, rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(result, expected, rtol=1e-12, atol=1e-13)
        tensors |= {f"gradient/{name}/{key}": value for key, value in result.pop("gradient").items()}
        cases[name] = case | result
    versions = {name: version(name) for name in ("trl", "torch", "transformers")}
    inputs = {"config": CONFIG, "prompts": PROMPTS, "answers": answers, "rewards": REWARDS}
    text = json.dumps({"provenance": versions, "inputs": inputs, "cases": cases}, indent=1)
    text = re.sub(r"\[[^][]*\]", lambda numbers: re.sub(r"\s+", " ", numbers[0]), text)
    folder = Path(sys.argv[1]) if sys.argv[1:] else GOLDEN
    (folder / "trl.json").write_text(text + "\n")
    save_file(tensors, folder / "trl.safetensors")


if __name__ == "__main__":
    main()
