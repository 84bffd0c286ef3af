"""Writing to a store that cannot be written just now."""

import errno
from collections.abc import Callable

import pytest

from sweeps import protocol
from sweeps.protocol import insist


def failing(times: int) -> Callable[[], str]:
    tries = iter(range(times))

    def write() -> str:
        if next(tries, None) is not None:
            raise OSError(errno.ESTALE, "Stale file handle")
        return "written"

    return write


def test_an_error_that_passes_is_outlived_and_one_that_stays_is_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "RETRY_SECONDS", 0.01)
    said: list[str] = []
    assert insist(failing(2), 60.0, said.append) == "written"
    assert said == ["cannot read or write the store, trying again: [Errno 116] Stale file handle"] * 2
    with pytest.raises(OSError, match="Stale file handle"):
        insist(failing(1_000_000), 0.1, said.append)
