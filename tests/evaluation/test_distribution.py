"""Moments and histograms of any chunks, merged in any order, against direct computations of all values at once."""

import json
import math
import weakref
from itertools import permutations, product
from typing import Any
from unittest.mock import Mock

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode

from em.evaluation import distribution
from em.evaluation.distribution import PIECE_BYTES, Distribution, Moments

RELATIVE = 1e-9
RNG = np.random.default_rng(0)
NORMAL = RNG.standard_normal(40_001)
DATA = {
    "normal": NORMAL,
    "far from zero": 1e4 + NORMAL,
    "far below zero": -1e4 + NORMAL,
    "skewed": np.exp(2 * NORMAL),
    "skewed and far": 1e4 - np.exp(1.5 * NORMAL),
    "symmetric": np.concatenate([NORMAL, -NORMAL, [0.125]]),
    "two far values": np.repeat([-1000.0, 1000.0], [3, 40_000]),
    "logits": np.float64(np.float32(3 * NORMAL - 2 + 12 * (NORMAL > 3))),
}


def assert_moments(moments: Moments, values: Any) -> None:
    """Equal to sums in extended precision, to 1e-9 of the sum of absolute terms.

    M3 of nearly symmetric values is a small difference of large sums.  The mean of equal values may be a rounded one.
    """
    x = np.asarray(values, dtype=np.longdouble).ravel()
    mean = x.mean()
    assert moments.count == x.size
    assert (moments.minimum, moments.maximum) == (x.min(), x.max())
    assert abs(moments.mean - mean) <= RELATIVE * np.abs(x).mean()
    d, terms = x - mean, x - mean
    for power, total in enumerate((moments.m2, moments.m3, moments.m4), start=2):
        terms = terms * d
        rounding = x.size * (4e-16 * float(abs(mean))) ** power
        assert abs(total - terms.sum()) <= RELATIVE * np.abs(terms).sum() + rounding


def in_chunks(values: NDArray, size: int) -> list[Moments]:
    return [Moments.of(torch.from_numpy(chunk)) for chunk in np.split(values, range(size, len(values), size))]


@pytest.mark.parametrize("name", DATA)
def test_the_moments_are_those_of_scipy(name):
    values = DATA[name]
    moments = Moments.of(torch.from_numpy(values))
    assert_moments(moments, values)
    exact = np.asarray(values, dtype=np.longdouble)
    assert moments.sigma == pytest.approx(float(np.std(exact)), rel=RELATIVE)
    assert moments.skewness == pytest.approx(float(stats.skew(exact)), rel=RELATIVE, abs=RELATIVE)
    assert moments.kurtosis == pytest.approx(float(stats.kurtosis(exact, fisher=False)), rel=RELATIVE)


def test_known_moments():
    moments = Moments.of(torch.tensor([[0.0, 0.0], [0.0, 4.0]]))
    assert moments == Moments(count=4, left_out=0, mean=1.0, m2=12.0, m3=24.0, m4=84.0, minimum=0.0, maximum=4.0)
    assert moments.sigma == pytest.approx(math.sqrt(3))
    assert moments.skewness == pytest.approx(6 / 3**1.5)
    assert moments.kurtosis == pytest.approx(21 / 9)


@pytest.mark.parametrize("name", DATA)
@pytest.mark.parametrize("values_a_piece", [1, 7, 1000])
def test_the_size_of_the_pieces_does_not_matter(name, values_a_piece, monkeypatch):
    values = DATA[name][: 1000 * values_a_piece]
    monkeypatch.setitem(PIECE_BYTES, "cpu", 8 * values_a_piece)
    assert_moments(Moments.of(torch.from_numpy(values)), values)


@pytest.mark.parametrize("name", DATA)
def test_single_values_added_one_after_another(name):
    """The most unbalanced tree there is, from the left and from the right."""
    values = DATA[name][:1000]
    singles = in_chunks(values, 1)
    assert_moments(sum(singles, Moments()), values)
    from_right = Moments()
    for single in reversed(singles):
        from_right = single + from_right
    assert_moments(from_right, values)


@pytest.mark.parametrize("name", DATA)
def test_every_order_of_unequal_chunks(name):
    values = DATA[name][:5000]
    chunks = [Moments.of(torch.from_numpy(chunk)) for chunk in np.split(values, [1, 3, 100, 4900])]
    for order in permutations(chunks):
        assert_moments(sum(order, Moments()), values)


GRIDS = {
    "plain": lambda x: x,
    "far": lambda x: 1e4 + x,
    "skewed": lambda x: np.exp(x / 4),
    "symmetric": lambda x: np.concatenate([x, -x]),
    "small": lambda x: x / 2**30,
}


@settings(deadline=None, derandomize=True, max_examples=150)
@given(
    whole=st.lists(st.integers(-30, 30), min_size=1, max_size=60),
    grid=st.sampled_from(sorted(GRIDS)),
    cuts=st.lists(st.integers(0, 120), max_size=12),
    order=st.randoms(use_true_random=False),
)
def test_any_chunks_in_any_tree(whole, grid, cuts, order):
    """Chunks may be empty; two random ones become one until one is left."""
    values = GRIDS[grid](np.array(whole, dtype=np.float64))
    sets = [
        Moments.of(torch.from_numpy(chunk)) for chunk in np.split(values, sorted(cut % len(values) for cut in cuts))
    ]
    while len(sets) > 1:
        order.shuffle(sets)
        sets.append(sets.pop() + sets.pop())
    assert_moments(sets[0], values)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_every_dtype_counts_by_its_own_values(dtype):
    values = torch.from_numpy(NORMAL).to(dtype)
    assert_moments(Moments.of(values), values.double().numpy())
    whole = Distribution()
    whole.update(values)
    assert_counts(whole, values.double().numpy())


def test_every_shape_and_layout():
    base = torch.from_numpy(NORMAL[:36_000]).view(20, 30, 60)
    for values in (base, base[:, 1:], base[..., :-1], base.permute(2, 0, 1), base[::2, :, 3], base[0, 0, 5]):
        assert_moments(Moments.of(values), values.numpy())
        whole = Distribution()
        whole.update(values)
        assert_moments(whole.moments, values.numpy())
        assert_counts(whole, values.numpy())


def test_the_values_stay_as_they_are():
    values = torch.tensor([1.0, math.nan, -math.inf, 64.0], dtype=torch.float64, requires_grad=True)
    Distribution().update(values)
    assert torch.equal(values.nan_to_num(7.0), torch.tensor([1.0, 7.0, -math.inf, 64.0]).double().nan_to_num())


@pytest.mark.parametrize("shape", [(0,), (3, 0), (0, 5)])
def test_an_empty_set_has_no_moments(shape):
    whole = Distribution()
    whole.update(torch.zeros(shape))
    for moments in (Moments(), Moments() + Moments(), Moments.of(torch.zeros(shape)), whole.moments):
        assert (moments.count, moments.left_out) == (0, 0)
        assert np.isnan([moments.mean, moments.sigma, moments.skewness, moments.kurtosis]).all()
        assert np.isnan([moments.minimum, moments.maximum]).all()
    assert not whole.counts_S.any()


@pytest.mark.parametrize("count", [1, 10, 1000])
def test_equal_values_have_no_skewness_and_no_kurtosis(count):
    """0.1 is no binary number: a mean of ten of them need not be one of them."""
    values = torch.full((count,), 0.1, dtype=torch.float64)
    for moments in (Moments.of(values), sum(map(Moments.of, values), Moments())):
        assert moments.mean == pytest.approx(0.1, rel=1e-14)
        assert moments.sigma == 0
        assert math.isnan(moments.skewness)
        assert math.isnan(moments.kurtosis)


def test_infinities_and_nan_are_left_out_and_counted():
    finite = NORMAL[:999] + 5
    mixed = np.concatenate([finite, [math.inf, -math.inf, math.nan, -math.inf]])
    values = torch.from_numpy(RNG.permutation(mixed)).float()
    expected = values[values.isfinite()].double().numpy()
    parts = sum((Moments.of(chunk) for chunk in values.split(10)), Moments())
    whole = Distribution()
    whole.update(values)
    for moments in (Moments.of(values), parts, whole.moments):
        assert moments.left_out == 4
        assert_moments(moments, expected)
    assert_counts(whole, expected)


def test_a_set_without_finite_values():
    masked = torch.full((2, 3), -math.inf)
    whole = Distribution()
    whole.update(masked)
    for moments in (Moments.of(masked), whole.moments, Moments() + Moments.of(masked)):
        assert (moments.count, moments.left_out) == (0, 6)
        assert math.isnan(moments.mean)
        assert math.isnan(moments.minimum)
    assert not whole.counts_S.any()
    assert Moments.of(masked) + Moments.of(torch.ones(1)) == Moments(1, 6, 1.0, 0.0, 0.0, 0.0, 1.0, 1.0)


def test_nothing_raises_where_powers_overflow_or_vanish():
    for size in (1e300, 1e100, 1e-100, 1e-300):
        moments = Moments.of(torch.tensor([-size, size], dtype=torch.float64)) + Moments(
            1, 0, size, 0, 0, 0, size, size
        )
        assert math.isnan(moments.kurtosis)
        assert (moments.minimum, moments.maximum) == (-size, size)


def numpy_counts(whole: Distribution, values: NDArray) -> list[int]:
    edges = whole.low + whole.width * np.arange(whole.bins + 1)
    return [np.sum(values < edges[0]), *np.histogram(values, edges)[0], np.sum(values > edges[-1])]


def assert_counts(whole: Distribution, values: NDArray) -> None:
    assert whole.counts_S.tolist() == numpy_counts(whole, np.asarray(values, dtype=np.float64))


@pytest.mark.parametrize(
    ("low", "width", "bins"), [(-64, 0.25, 512), (-64, 0.5, 128), (-3, 1, 5), (8, 2, 3), (-1, 2**-9, 1)]
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_counts_are_those_of_numpy_also_at_the_edges(low, width, bins, dtype):
    edges = torch.arange(-3, bins + 4) * width + low
    edges = edges.to(dtype)
    tiny = torch.tensor([0.0, -0.0, 1e-30, -1e-30, 1e30, -1e30], dtype=dtype)
    beside = [edges.nextafter(torch.tensor(toward, dtype=dtype)) for toward in (-math.inf, math.inf)]
    spread = torch.from_numpy(NORMAL * width * bins + low).to(dtype)
    values = torch.cat([edges, *beside, tiny, spread])
    whole = Distribution(low, width, bins)
    whole.update(values)
    assert_counts(whole, values.double().numpy())


@pytest.mark.parametrize(("low", "width", "bins"), [(-64, 0.25, 256), (0, 1, 4), (-4, 1, 8), (1, 1, 4), (-9, 1, 8)])
def test_what_is_left_out_counts_nowhere(low, width, bins):
    """Wherever zero is: on the closed edge, the first bin, a bin, or on either side of them all."""
    values = torch.tensor([-math.inf, 0.0, -0.5, math.nan, 0.0, 3.0, math.inf])
    whole = Distribution(low, width, bins)
    whole.update(values)
    assert_counts(whole, np.array([0.0, -0.5, 0.0, 3.0]))
    assert whole.moments.left_out == 3


def test_updates_and_merges_in_any_order_are_one_update():
    values = torch.from_numpy(NORMAL).float() * 30
    values[::100] = -math.inf
    finite = values[values.isfinite()].double().numpy()
    for size, backwards in product([1000, 7777, 40_001], [False, True]):
        chunks = values.split(size)[:: -1 if backwards else 1]
        updated, merged = Distribution(), Distribution()
        for chunk in chunks:
            part = Distribution()
            part.update(chunk)
            updated.update(chunk)
            merged.merge(part)
        for whole in (updated, merged):
            assert_counts(whole, finite)
            assert_moments(whole.moments, finite)
            assert whole.moments.left_out == 401


def test_other_bins_do_not_merge():
    with pytest.raises(ValueError, match=r"differ: \(-64.0, 0.25, 512\) and \(-64.0, 0.25, 256\)"):
        Distribution().merge(Distribution(bins=256))


@pytest.mark.parametrize(("low", "width", "bins"), [(0, 0.1, 9), (0, 0, 9), (0, -0.5, 9), (0.25, 0.5, 9), (0, 1, 0)])
def test_edges_that_rounding_could_miss_are_refused(low, width, bins):
    with pytest.raises(ValueError, match="edges must be multiples"):
        Distribution(low, width, bins)


def test_plain_data():
    whole = Distribution(low=-2.0, width=1.0, bins=3)
    whole.update(torch.tensor([-3.0, -2.0, -0.5, 0.0, 1.0, 1.5, -math.inf]).bfloat16())
    plain = json.loads(json.dumps(whole.plain()))
    values = [-3.0, -2.0, -0.5, 0.0, 1.0, 1.5]
    moments = [plain.pop(name) for name in ("mean", "sigma", "skewness", "kurtosis")]
    assert moments == pytest.approx([np.mean(values), np.std(values), stats.skew(values), stats.kurtosis(values) + 3])
    assert plain == {
        "count": 6,
        "left_out": 1,
        "minimum": -3.0,
        "maximum": 1.5,
        "low": -2.0,
        "width": 1.0,
        "below": 1,
        "above": 1,
        "histogram": [1, 1, 2],
    }


class Memory(TorchDispatchMode):
    """Bytes of the tensors that operations make while it is on: the largest, and the most at one time."""

    def __init__(self, *inputs: Tensor) -> None:
        super().__init__()
        self.known = {tensor.untyped_storage().data_ptr() for tensor in inputs}
        self.largest = self.live = self.peak = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        for tensor in result if isinstance(result, (tuple, list)) else [result]:
            if isinstance(tensor, Tensor) and (storage := tensor.untyped_storage()).data_ptr() not in self.known:
                self.known.add(storage.data_ptr())
                self.live += storage.nbytes()
                self.largest, self.peak = max(self.largest, storage.nbytes()), max(self.peak, self.live)
                weakref.finalize(tensor, self.freed, storage.data_ptr(), storage.nbytes())
        return result

    def freed(self, pointer: int, size: int) -> None:
        self.known.discard(pointer)
        self.live -= size


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("strided", [False, True])
def test_the_memory_is_that_of_a_few_pieces(dtype, strided):
    values = torch.zeros(12, 152_064, dtype=dtype)
    values = values[:, :-64] if strided else values
    with Memory(values) as memory:
        Distribution().update(values)
    assert memory.largest == PIECE_BYTES["cpu"]
    assert memory.peak <= 8 * PIECE_BYTES["cpu"] < values.numel() * 2


class Copies(TorchDispatchMode):
    """Counts copies from a device to the host."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        self.count += func is torch.ops.aten._to_copy.default and kwargs.get("device") == torch.device("cpu")
        return func(*args, **kwargs)


class ArrivedError(Exception):
    """The results are on the host."""


def test_a_gpu_is_waited_for_once(monkeypatch):
    """Until its results are copied, no operation has a result or a shape that the host would have to know."""
    monkeypatch.setattr(distribution, "_union", Mock(side_effect=ArrivedError))
    with FakeTensorMode():  # raises where the host needs a value
        values = torch.zeros(100, 152_000, device="cuda")
        for use in (Distribution().update, Moments.of):
            with Copies() as copies, pytest.raises(ArrivedError):
                use(values)
            assert copies.count == 1


@pytest.mark.parametrize("slots", [3, 7, 49, 130, 514, 1001])
def test_histc_counts_whole_numbers_exactly(slots):
    """It counts on a GPU, by the same formula."""
    values = torch.arange(slots, dtype=torch.float64).repeat_interleave(torch.arange(slots))
    assert torch.histc(values, slots, 0, slots).tolist() == list(range(slots))
