"""Score against evaluation temperature: a place for each, the base model's beside them."""

from dataclasses import replace

import pytest

from analysis.draw import Drawn, printed, specification
from analysis.figures import CURVES, Figure, check
from analysis.seeds import Headline
from em.errors import InputError
from em.store import Store
from tests.analysis.conftest import AXIS, EVALUATIONS, Commit, average, cells, drawn, marks, svg, texts, trial

TEMPERATURES = (0.0, 0.5, 1.0)
AT_ALL = [replace(item, temperature=temperature) for temperature in TEMPERATURES for item in EVALUATIONS]
FIGURE = Figure("cooler", "eval_temperature", [AXIS], Headline(10, EVALUATIONS), AT_ALL, [10])
TRIALS = [trial(temperature, seed) for temperature in (0.5, 1.5) for seed in (0, 1)]


@pytest.fixture
def recorded(store: Store, commit: Commit) -> Drawn:
    """Accuracy falls by 0.1 at each temperature; of the last trial the greedy answers of one benchmark are missing."""
    commit(trial().base, [0.3, 0.3, 0.2, 0.2, 0.1, 0.1], AT_ALL, step=0)
    for place, of in enumerate(TRIALS[:3]):
        commit(of, [top - fall for fall in (0, 0.1, 0.2) for top in (0.6, 0.8 + 0.2 * place / 2)], AT_ALL)
    commit(TRIALS[3], [0.9, 0.5, 0.5, 0.3, 0.3], AT_ALL[1:])
    return drawn(store, FIGURE, cells(TRIALS))


def test_each_cell_has_a_place_at_each_temperature(recorded: Drawn) -> None:
    assert average(recorded).select(AXIS, "step", "temperature", "n", "missing", "mean", "base", "gain").rows() == [
        (0.5, 10, 0.0, 2, 0, *map(pytest.approx, (0.725, 0.3, 0.425))),
        (0.5, 10, 0.5, 2, 0, *map(pytest.approx, (0.625, 0.2, 0.425))),
        (0.5, 10, 1.0, 2, 0, *map(pytest.approx, (0.525, 0.1, 0.425))),
        (1.5, 10, 0.0, 1, 1, *map(pytest.approx, (0.8, 0.3, 0.5))),
        (1.5, 10, 0.5, 2, 0, *map(pytest.approx, (0.6, 0.2, 0.4))),
        (1.5, 10, 1.0, 2, 0, *map(pytest.approx, (0.45, 0.1, 0.35))),
    ]


def test_the_base_model_is_a_dashed_curve_beside_the_cells(recorded: Drawn) -> None:
    spec = specification(recorded)
    thin, thick, base = marks(spec, "line")
    assert (thin["data"], thick["encoding"]["y"]["field"]) == ({"name": "seeds"}, "centre")
    assert (base["mark"]["style"], base["encoding"]["y"]["field"]) == ("base", "base")
    assert {"aggregate": [{"as": "base", "field": "base", "op": "mean"}], "groupby": ["temperature"]} in base[
        "transform"
    ]
    assert thick["encoding"]["color"]["scale"]["domain"] == ["0.5", "1.5"]
    written = texts(svg(recorded))
    assert {"evaluation temperature", "accuracy", "(mean of two benchmarks)", "base", "0.5", "1.5", CURVES} <= {
        *written
    }
    assert "4 trials, n = 1 to 2 a cell" in written


def test_a_base_model_that_is_not_measured_is_not_drawn(store: Store, commit: Commit) -> None:
    commit(TRIALS[0], [0.5] * 6, AT_ALL)
    written = texts(svg(drawn(store, FIGURE, cells(TRIALS[:1]))))
    assert "evaluation temperature" in written
    assert "base" not in written


def test_the_table_of_several_temperatures_names_no_single_base(recorded: Drawn) -> None:
    table = printed(recorded)
    assert table.title == "accuracy, %"
    assert [column.header for column in table.columns][:2] == ["training temperature", "temperature"]


def test_one_temperature_is_refused() -> None:
    with pytest.raises(
        InputError, match=r"figure cooler: eval\.temperatures=\[1\.0\]: a figure against them needs two"
    ):
        check(replace(FIGURE, measured=EVALUATIONS), cells(TRIALS))
