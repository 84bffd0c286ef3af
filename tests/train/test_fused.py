"""The Triton kernels of the loss over tokens: their values in Triton's interpreter, and that a compiler takes them.

Whether code is interpreted or compiled is settled when Triton is imported, so each of the two has a process of its own.
N tokens, V vocabulary, H hidden width.
"""

from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from importlib.util import find_spec
from multiprocessing import get_context
from pathlib import Path

import pytest
import torch
from torch import Tensor

from em.model.head import Head
from em.train import objective
from em.train.objective import token_loss

pytestmark = pytest.mark.skipif(
    find_spec("triton") is None, reason="Triton is not installed (it comes with CUDA builds)"
)

N, V, H = 7, 4_111, 8  # more than one block of the kernels, and no multiple of one
DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16, "fp32": torch.float32}
# Of gradients, relative to the largest: twice the dtype's epsilon, of roundings.  All else is in fp32 everywhere.
TOLERANCE = {"bf16": 2**-6, "fp16": 2**-9, "fp32": 1e-5}


def process(tmp: Path, interpret: str) -> ProcessPoolExecutor:
    pool = ProcessPoolExecutor(1, mp_context=get_context("spawn"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TRITON_INTERPRET", interpret)
        patch.setenv("TRITON_CACHE_DIR", str(tmp))
        pool.submit(torch.set_num_threads, 1).result()
    return pool


@pytest.fixture(scope="module")
def interpreter(tmp_path_factory) -> Iterator[ProcessPoolExecutor]:
    with process(tmp_path_factory.mktemp("triton"), interpret="1") as pool:
        yield pool


@pytest.fixture(scope="module")
def compiler(tmp_path_factory) -> Iterator[ProcessPoolExecutor]:
    with process(tmp_path_factory.mktemp("triton"), interpret="0") as pool:
        yield pool


def spread(span: slice, like: Tensor) -> Tensor:
    return torch.linspace(-1, 1, N)[span][: len(like)]


def of_entropy(entropy: Tensor, _: Tensor, span: slice) -> Tensor:
    return spread(span, entropy) * entropy


def of_ratio(_: Tensor, logprob: Tensor, span: slice) -> Tensor:
    """As in GRPO: a clipped ratio to old log-probabilities times an advantage, and an estimate of a divergence."""
    advantage = spread(span, logprob)
    apart = logprob - logprob.detach() + 0.3 * advantage
    return -torch.minimum(apart.exp() * advantage, apart.exp().clamp(0.8, 1.2) * advantage) + 0.1 * (-apart).expm1()


def of_both(entropy: Tensor, logprob: Tensor, span: slice) -> Tensor:
    return of_entropy(entropy, logprob, span) * logprob.exp().clamp(max=0.3) - 0.5 * logprob + 0.1 * entropy


TERMS = {terms.__name__: terms for terms in (of_entropy, of_ratio, of_both)}


def inputs(tokens: int, dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Hidden states and a head whose products, quarters up to 32, are exact in every dtype; a bias, and targets."""
    generator = torch.Generator().manual_seed(0)
    hidden_NH = torch.randint(-2, 3, (tokens, H), generator=generator).to(dtype)
    weight_VH = torch.randint(-8, 9, (V, H), generator=generator).to(dtype) / 4
    target_N = torch.randint(V, (tokens,), generator=generator)
    target_N[-1:] = V - 1
    return hidden_NH, weight_VH, torch.randn(V, generator=generator).to(dtype), target_N


def losses(fused: bool, dtype: torch.dtype, case: dict, exact: torch.dtype | None = None) -> dict[str, Tensor]:
    """What `token_loss` says of the inputs, and the gradients, which backward has multiplied by 3."""
    hidden_NH, weight_VH, bias_V, target_N = inputs(case.get("tokens", N), dtype)
    given = [tensor.to(exact or dtype).requires_grad_() for tensor in (hidden_NH, weight_VH, bias_V)]
    given = given if case.get("biased") else given[:2]
    head = Head(given[1], given[2] if case.get("biased") else None, case.get("scale", 1.0), case.get("cap"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(objective, "is_fused", lambda _: fused)
        if fused:
            rows = case.get("rows", N)
            patch.setattr(objective, "FUSED_BYTES", rows * V * dtype.itemsize)
        terms, temperature = TERMS[case.get("terms", "of_both")], case.get("temperature", 1.0)
        with torch.autocast("cpu", torch.bfloat16, enabled=case.get("autocast", False) and exact is None):
            loss, entropy_N, logprob_N = token_loss(given[0], head, target_N, terms, temperature)
    gradients = torch.autograd.grad(3 * loss, given)
    assert [gradient.dtype for gradient in gradients[:2]] == [exact or dtype] * 2
    said = {"loss": loss.detach(), "entropy": entropy_N, "logprob": logprob_N}
    return said | dict(zip(["hidden", "weight", "bias"], gradients, strict=False))


def compare(dtype: str, case: dict) -> None:
    """The kernels against the plain path in fp64, to which the inputs are exact."""
    fused = losses(True, DTYPES[dtype], case)
    plain = losses(False, DTYPES[dtype], case, torch.float64)
    assert fused.keys() == plain.keys()
    of_gradients = TOLERANCE["bf16" if case.get("autocast") else dtype]
    for name, wanted in plain.items():
        tolerance = of_gradients if name in ("hidden", "weight", "bias") else 1e-5
        largest = wanted.abs().max().item() if case.get("tokens") != 0 else 0.0
        apart = (fused[name].double() - wanted).abs()
        assert (apart <= tolerance * largest).all(), f"{name}: {apart.max()} apart, the largest is {largest}"
        assert (largest == 0) == (case.get("tokens") == 0)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    "case",
    [
        {},
        {"temperature": 0.5},
        {"temperature": 1.5, "rows": 3},
        {"terms": "of_entropy", "temperature": 0.5},
        {"terms": "of_ratio"},
        {"terms": "of_ratio", "temperature": 0.7, "rows": 1},
        {"biased": True, "temperature": 0.7, "rows": 2},
        {"scale": 0.125, "temperature": 0.7},
        {"cap": 15.0, "temperature": 0.7},
        {"biased": True, "scale": 0.25, "cap": 5.0, "temperature": 1.5, "rows": 4},
        {"tokens": 0, "biased": True},
    ],
    ids=lambda case: "-".join(f"{name}={value}" for name, value in case.items()) or "plain",
)
def test_values_and_gradients_are_those_of_the_plain_path(interpreter, case, dtype):
    interpreter.submit(compare, dtype, case).result()


def test_autocast_takes_weights_in_fp32_and_gives_their_gradients_in_fp32(interpreter):
    """As on a GPU with `model.precision=bf16`."""
    case = {"autocast": True, "biased": True, "temperature": 0.5, "rows": 2}
    interpreter.submit(compare, "fp32", case).result()


def look_at_extremes() -> None:
    """Rows of logits in fp32, through an identity as the head: entropy, log-probability of token 1, gradient."""
    from em.train.fused import FusedChunk

    row_NV = torch.full((5, V), -torch.inf)
    row_NV[0, [1, V - 1]] = 3.0  # two tokens are possible, in two blocks
    row_NV[1] = 0.0
    row_NV[1, 1] = 200.0
    row_NV[2] = torch.linspace(-1e30, 1e4, V)
    row_NV[3] = 2.5
    row_NV[4, 1], row_NV[4, 2] = 0.0, torch.nan
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Tensor, "__matmul__", lambda hidden, _: hidden)
        chunk = FusedChunk(row_NV.clone(), Head(torch.empty(V, V, device="meta")), torch.ones(5).long(), 0.5)
    log2, log_v = torch.tensor([2.0, V]).log().tolist()
    torch.testing.assert_close(chunk.entropy_N, torch.tensor([log2, 0.0, 0.0, log_v, torch.nan]), equal_nan=True)
    torch.testing.assert_close(chunk.own[0], chunk.entropy_N, equal_nan=True)
    said = torch.tensor([-log2, 0.0, row_NV[2, 1] - 1e4, -log_v, torch.nan])
    torch.testing.assert_close(chunk.logprob_N, said, equal_nan=True)
    grad_NV = chunk.slope(torch.ones(5), None)
    assert grad_NV[:4].isfinite().all()
    assert grad_NV[4].isnan().all()
    torch.testing.assert_close(grad_NV[:4], torch.zeros(4, V), rtol=0, atol=1e-6)


def test_extreme_logits_are_as_in_torch(interpreter):
    interpreter.submit(look_at_extremes).result()


def compile_for_hopper(dtype: str, headed: bool, tempered: bool) -> dict[str, str]:
    """The PTX of both kernels, once Triton's own assembler has taken it; a machine without a GPU will do."""
    import triton  # pyright: ignore[reportMissingImports]
    from triton.backends.compiler import GPUTarget  # pyright: ignore[reportMissingImports]
    from triton.compiler import ASTSource  # pyright: ignore[reportMissingImports]

    from em.train import fused

    types = {"logits_ptr": f"*{dtype}", "bias_ptr": "*fp32", "target_ptr": "*i64", "N": "i32", "V": "i32"}
    absent = {} if headed else {"bias_ptr": None, "cap": None}
    ptx = {}
    for kernel in (fused._look, fused._slope):
        constants = absent | {"BLOCK": fused.BLOCK} | ({"TEMPERED": tempered} if kernel is fused._look else {})
        names = kernel.arg_names  # pyright: ignore[reportFunctionMemberAccess]
        kinds = {name: types.get(name, "*fp32" if name.endswith("_ptr") else "fp32") for name in names}
        kinds |= dict.fromkeys(constants, "constexpr")
        whole = [k for k, name in enumerate(names) if kinds[name].startswith("*") or name == "V"]
        attributes = {(k,): [["tt.divisibility", 16]] for k in whole}  # as a launch finds it where V is 152,064
        source = ASTSource(kernel, kinds, constants, attributes)
        made = triton.compile(source, target=GPUTarget("cuda", 90, 32), options={"num_warps": fused.WARPS})
        assert len(made.asm["cubin"]) > 1000
        ptx[kernel.__name__] = made.asm["ptx"]
    return ptx


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("headed", "tempered"), [(False, False), (False, True), (True, True)])
def test_kernels_compile_for_a_gpu(compiler, dtype, headed, tempered):
    """And read 16 bytes at a time, without spilling what they hold to memory."""
    ptx = compiler.submit(compile_for_hopper, dtype, headed, tempered).result()
    for name, text in ptx.items():
        assert ".target sm_90" in text
        assert "ld.global.v4.b32" in text, name
        assert "st.local" not in text, name
