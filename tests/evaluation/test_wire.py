"""What crosses between judge and answer: exactly, or not at all."""

import math
from typing import Any

import pytest

from em.evaluation.sandbox.wire import DEPTH, WireError, decode, encode


def nothing(*_: object) -> bytes:
    raise WireError("not plain")


def there_and_back(value: Any) -> Any:
    return decode(encode(value, nothing), nothing)


VALUES = [
    None,
    True,
    False,
    0,
    -1,
    127,
    128,
    -128,
    -129,
    1 << 5000,
    -(1 << 5000),
    0.0,
    0.1,
    -1e-320,
    1.7976931348623157e308,
    math.inf,
    -math.inf,
    1j,
    complex(-0.5, math.inf),
    "",
    "a\0b\ud800é\U0001f600",
    b"",
    b"\0\xff",
    [],
    (),
    {},
    set(),
    frozenset(),
    [1, [2.0, (3, "x")], {"k": {None: [b"y"]}}],
    {frozenset({1, 2}): {(1, 2), (3,)}},
    {1: {2: {3: set()}}},
]


@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_plain_data_crosses_exactly(value: Any):
    found = there_and_back(value)
    assert found == value
    assert repr(found) == repr(value)
    assert type(found) is type(value)


def test_what_equality_does_not_see():
    assert math.copysign(1, there_and_back(-0.0)) == -1
    assert math.isnan(there_and_back(math.nan))
    assert [*there_and_back({"b": 1, "a": 2})] == ["b", "a"]
    assert there_and_back([1, True, 1.0]) == [1, True, 1.0]
    assert [type(each) for each in there_and_back([1, True, 1.0])] == [int, bool, float]


class Text(str):
    __slots__ = ()


@pytest.mark.parametrize("value", [Text("x"), object(), len, [iter([])], {1: range(3)}, bytearray(b"x")])
def test_nothing_else_does(value: Any):
    with pytest.raises(WireError, match="not plain"):
        encode(value, nothing)


def test_depth_has_a_limit():
    value: list[Any] = []
    for _ in range(DEPTH - 1):
        value = [value]
    assert there_and_back(value) == value
    with pytest.raises(WireError, match="too deep"):
        encode([value], nothing)
    endless: list[Any] = []
    endless.append(endless)
    with pytest.raises(WireError, match="too deep"):
        encode(endless, nothing)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"i",
        b"i\0\0\0\2\1",
        b"NN",
        b"x\0\0\0\1N",
        b"f\0\0\0\3xyz",
        b"f\0\0\0\0110x1p99999",
        b"c\0\0\0\0010",
        b"u\0\0\0\1\xff",
        b"l\0\0\0\2N",
        b"l\xff\xff\xff\xffN",
        b"s\0\0\0\1l\0\0\0\0",
        b"s\0\0\0\2NN",
        b"d\0\0\0\2NNNN",
        b"d\0\0\0\1l\0\0\0\0N",
        b"l\0\0\0\1" * (DEPTH + 1) + b"N",
        b"l\0\0\0\1" * 1_000_000,
    ],
    ids=lambda data: repr(data[:20]),
)
def test_bytes_that_mean_nothing_are_refused(data: bytes):
    with pytest.raises(WireError):
        decode(data, nothing)


def test_any_cut_or_change_is_refused_or_plain():
    whole = encode(VALUES, nothing)
    for place in range(len(whole)):
        with pytest.raises(WireError):
            decode(whole[:place], nothing)
        for byte in (0, 1, 0x4E, 0x6C, 0x64, 0xFF):
            try:
                found = decode(whole[:place] + bytes([byte]) + whole[place + 1 :], nothing)
            except WireError:
                continue
            encode(found, nothing)
