"""Plain data as bytes: what crosses between the judge and an answer's interpreter.

Nothing but None, bool, int, float, complex, str, bytes, list, tuple, set, frozenset and dict, of exactly these types.
`other` says what becomes of the rest.  Bytes that mean nothing are refused, and no code runs but the constructors of
these types.  A value is a letter and, where it has content, a length of four bytes.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:  # `typing` takes longer to import than the rest of an answer's interpreter
    from collections.abc import Callable
    from typing import Any

DEPTH = 100  # of containers in containers
FRAME_BYTES = 1 << 24  # of one message
CONTAINERS = {list: b"l", tuple: b"t", set: b"s", frozenset: b"z"}
KINDS = {tag[0]: kind for kind, tag in CONTAINERS.items()}
FIXED = {ord("N"): None, ord("T"): True, ord("F"): False}


class WireError(ValueError):
    """What cannot cross, or bytes that are no message."""


def sized(tag: bytes, body: bytes) -> bytes:
    return tag + len(body).to_bytes(4, "big") + body


def encode(value: "Any", other: "Callable[[Any], bytes]") -> bytes:
    """Raises WireError for what is too deep or too large."""
    out = bytearray()

    def put(value: "Any", depth: int) -> None:
        kind = type(value)
        if value is None:
            out.extend(b"N")
        elif kind is bool:
            out.extend(b"T" if value else b"F")
        elif kind is int:
            out.extend(sized(b"i", value.to_bytes(value.bit_length() // 8 + 1, "big", signed=True)))
        elif kind is str:
            out.extend(sized(b"u", value.encode("utf-8", "surrogatepass")))
        elif kind is float:
            out.extend(sized(b"f", value.hex().encode()))
        elif kind is bytes:
            out.extend(sized(b"b", value))
        elif kind is complex:
            out.extend(sized(b"c", f"{value.real.hex()} {value.imag.hex()}".encode()))
        elif kind in CONTAINERS or kind is dict:
            if not depth or len(out) > FRAME_BYTES:
                raise WireError("too deep" if not depth else "too large")
            out.extend(CONTAINERS.get(kind, b"d") + len(value).to_bytes(4, "big"))
            for item in value:
                put(item, depth - 1)
                if kind is dict:
                    put(value[item], depth - 1)
        else:
            out.extend(other(value))

    put(value, DEPTH)
    if len(out) > FRAME_BYTES:
        raise WireError("too large")
    return bytes(out)


def decode(data: bytes, other: "Callable[[bytes, bytes], Any]") -> "Any":
    """`other` gets the letter and the content of what is not plain.  Raises WireError, whatever the bytes."""
    at = 0

    def take(count: int) -> bytes:
        nonlocal at
        at += count
        if at > len(data):
            raise WireError("cut short")
        return data[at - count : at]

    def get(depth: int) -> "Any":
        tag = take(1)
        letter = tag[0]
        if letter in FIXED:
            return FIXED[letter]
        length = int.from_bytes(take(4), "big")
        if letter in KINDS or tag == b"d":
            if not depth or length > len(data):
                raise WireError("too deep" if not depth else "too long")
            if tag == b"d":
                pairs = {get(depth - 1): get(depth - 1) for _ in range(length)}
                return whole(pairs, length)
            items = [get(depth - 1) for _ in range(length)]
            return items if tag == b"l" else whole(KINDS[letter](items), length)
        body = take(length)
        if tag == b"i":
            return int.from_bytes(body, "big", signed=True)
        if tag == b"u":
            return body.decode("utf-8", "surrogatepass")
        if tag == b"f":
            return float.fromhex(body.decode("ascii"))
        if tag == b"b":
            return body
        if tag == b"c":
            real, imaginary = map(float.fromhex, body.decode("ascii").split(" "))
            return complex(real, imaginary)
        return other(tag, body)

    try:
        value = get(DEPTH)
    except (ValueError, TypeError, OverflowError) as error:  # a set of lists, a number that is none
        raise WireError(str(error)) from None
    if at != len(data):
        raise WireError("more than one value")
    return value


def whole(collected: "Any", length: int) -> "Any":
    if len(collected) != length:
        raise WireError("equal members")
    return collected
