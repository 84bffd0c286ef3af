"""A kind of figure from outside: the example of docs/extending.md, drawn by the same command as every other."""

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

import polars as pl
import pytest
import yaml

from analysis import figures
from em.errors import InputError
from em.store import Store
from sweeps.config import compose_launch
from sweeps.expand import frame, trials
from sweeps.figures import check, figures_of, main
from tests.analysis.conftest import drawn, texts
from tests.sweeps.test_status import record

DOCS = (Path(__file__).parents[2] / "docs" / "extending.md").read_text().partition("## A new kind of figure")[2]
WORDS = ["sweep=smoke", "sweep.figures=[{kind:axis},{kind:spread}]"]


def block(language: str) -> str:
    match = re.search(rf"```{language}\n(.*?)```", DOCS, re.DOTALL)
    assert match
    return match[1]


@pytest.fixture
def spread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The kind that the docs show, in a folder that `analysis.figures` looks into."""
    (tmp_path / "spread.py").write_text(block("python"))
    monkeypatch.setattr(figures, "__path__", [*figures.__path__, str(tmp_path)])
    yield
    sys.modules.pop("analysis.figures.spread", None)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """The smoke sweep, its two seeds of the first cell 0.25 and 0.75, of the second 0.5 and 0.5, one of the third."""
    store, launch = Store(tmp_path / "results"), compose_launch(["sweep=smoke"])
    units = launch.units(trials(launch))
    for unit, accuracy in zip(units, [0.4, 0.25, 0.5, 0.5, 0.75, 0.5], strict=False):
        assert store.commit(record(unit, accuracy))
    return store


@pytest.mark.usefixtures("spread")
def test_a_kind_is_one_file_and_its_name_in_the_sweep(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    main([*WORDS, f"store={store.root}"])
    numbers = pl.read_csv(store.root / "figures" / "smoke-spread.csv")
    average = numbers.filter(pl.col("metric") == "average")
    assert average.select("rollout.temperature", "n", "mean", "spread").rows() == [
        (0.5, 2, 0.5, 0.5),
        (1.0, 2, 0.5, 0.0),
        (1.5, 1, 0.5, 0.0),
    ]
    names = ("smoke", "smoke-spread")
    files = [f"{name}{end}" for name in names for end in (".pdf", ".png", ".svg", ".csv", "-seeds.csv")]
    assert store.files.list("figures") == sorted(files)
    picture = ElementTree.fromstring(store.files.read("figures/smoke-spread.svg"))
    shown = {"bars: best minus worst seed", "training temperature", "spread of accuracy", "after step 10", "50%"}
    assert shown <= {*texts(picture)}
    assert capsys.readouterr().out.count("accuracy, %; base model 40.0") == 2


@pytest.mark.usefixtures("spread")
def test_a_new_kind_is_checked_before_anything_is_trained() -> None:
    two = "sweep.axes=[{field:rollout.temperature,values:[1,2]},{field:optimizer.lr,values:[1e-3,1e-4]}]"
    launch = compose_launch(["sweep=smoke", two, "sweep.figures=[{kind:spread}]"])
    with pytest.raises(InputError) as error:
        check(launch, frame(launch))
    shown = "figure smoke: axes=['rollout.temperature', 'optimizer.lr']: a figure of kind spread has 1"
    assert str(error.value) == shown


def test_an_unknown_kind_is_named_with_the_nearest() -> None:
    with pytest.raises(InputError, match="unknown kind of figure 'heatmpa': did you mean 'heatmap'"):
        figures.kind_of("heatmpa")
    known = "axis, dynamics, eval_temperature, gain, heatmap, history, logits, pareto, slices, steps"
    with pytest.raises(InputError, match=f"unknown kind of figure 'spread': choose from {known}"):
        figures.kind_of("spread")


@pytest.mark.usefixtures("spread")
def test_a_kind_may_say_that_it_shows_no_single_benchmark(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    launch = compose_launch([*WORDS, f"store={store.root}"])
    cells = frame(launch)
    figure = figures_of(launch, cells)[1]
    metrics = drawn(store, figure, cells).numbers["metric"].unique(maintain_order=True).to_list()
    assert metrics == ["average", *(item.benchmark.name for item in figure.headline.evaluations)]
    monkeypatch.setattr(figures.kind_of("spread"), "BY_BENCHMARK", False, raising=False)
    assert drawn(store, figure, cells).numbers["metric"].unique().to_list() == ["average"]


def test_the_yaml_of_the_docs_is_a_sweep(tmp_path: Path) -> None:
    shown = yaml.safe_load(block("yaml"))["sweep"]["figures"]
    written = re.sub(r"[' ]", "", str(shown))
    launch = compose_launch(["sweep=smoke", f"sweep.figures={written}", f"store={tmp_path}"])
    assert launch.sweep.figures is not None
    assert [(item.kind, item.axes, item.step, item.temperature) for item in launch.sweep.figures] == [
        ("axis", [], None, None),
        ("spread", ["rollout.temperature"], 10, 1.0),
    ]
