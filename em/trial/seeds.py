"""Random streams by name: the same words give the same stream, in any process, in any order of work."""

import hashlib

BITS = 62  # of a seed
SPACING = 1 << 20  # streams are spaced by it: a request's sample i draws from stream + i


def stream(*words: str | int) -> int:
    """A seed in [0, 2^BITS), a multiple of SPACING."""
    digest = hashlib.sha256("\0".join(map(str, words)).encode()).digest()
    return (int.from_bytes(digest[:8], "big") >> (64 - BITS)) // SPACING * SPACING
