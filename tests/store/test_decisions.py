"""What was decided stands; who only looks decides nothing, and what could not be written was not decided."""

import pytest

from em.store import Store
from tests.memory import MemoryFiles


class Away(MemoryFiles):
    """A store that is not there for a moment."""

    is_away = False

    def create_once(self, name: str, content: bytes) -> bool:
        if self.is_away:
            raise OSError(5, "no answer")
        return super().create_once(name, content)


def test_the_first_decision_stands() -> None:
    files = MemoryFiles()
    one, two = (Store("none", files, decides=True).decisions for _ in range(2))
    assert one.keep("search", "point-0", {"lr": 0.1}) == {"lr": 0.1}
    assert two.keep("search", "point-0", {"lr": 0.2}) == {"lr": 0.1}
    assert two.kept("search") == {"point-0": {"lr": 0.1}}


def test_what_cannot_be_written_is_not_decided() -> None:
    files = Away()
    decisions = Store("none", files, decides=True).decisions
    files.is_away = True
    with pytest.raises(OSError, match="no answer"):
        decisions.keep("budget", "lr", 1)
    files.is_away = False
    assert decisions.keep("budget", "lr", 2) == 2


def test_who_looks_has_its_own_view_until_something_is_decided() -> None:
    files = MemoryFiles()
    looks, decides = Store("none", files).decisions, Store("none", files, decides=True).decisions
    assert looks.keep("budget", "lr", (1, 2)) == [1, 2]
    assert files.pieces == {}
    decides.keep("budget", "lr", 3)
    assert looks.keep("budget", "lr", (1, 2)) == 3
