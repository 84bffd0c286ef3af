"""No test leaves its launch behind, or uses the user's cache."""

import os
from collections.abc import Iterator

import pytest

from tests.processes import end_all


@pytest.fixture(autouse=True)
def nothing_left_running() -> Iterator[None]:
    yield
    end_all()


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """A cache of its own, so that the tests pretrain as a new user does."""
    return os.environ | {"XDG_CACHE_HOME": str(tmp_path_factory.mktemp("cache"))}
