"""No test leaves its launch behind."""

from collections.abc import Iterator

import pytest

from tests.processes import end_all


@pytest.fixture(autouse=True)
def nothing_left_running() -> Iterator[None]:
    yield
    end_all()
