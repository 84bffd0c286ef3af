"""Whatever names and values hold, figures show it as it is."""

from dataclasses import replace

import pytest

from analysis import style
from analysis.draw import pictures, specification
from analysis.figures import Figure
from analysis.seeds import Headline
from em.errors import InputError, require_file_name
from em.store import Store
from em.trial.model import Model
from em.trial.trial import Trial
from tests.analysis.conftest import EVALUATIONS, Commit, cells, drawn, svg, texts, trial
from tests.trials import phase_of

ODD = [
    *("$x^{2$", "$\\frac{1}{2}$", "a_b^c", "\\", "line\nbreak", "日本", "é", "", "-1", "$" * 300, "\x00", "{}$$"),
    *("it's", '"quoted"', "<b>&amp;</b>", "datum.n", "\\u0041", "`${x}`", "\U0001f600"),
]
TEMPLATE = "prompts.template"


def with_template(template: str) -> Trial:
    """Of a template that holds `template`."""
    of, phase = trial(), phase_of(trial())
    return replace(of, phase=replace(phase, prompts=replace(phase.prompts, template=template + "{problem}")))


def test_values_are_shown_as_they_are() -> None:
    assert [style.written(TEMPLATE, value) for value in ("$x^2$", "a\nb", "\0")] == ["$x^2$", "a\\nb", "\\x00"]
    assert style.written(TEMPLATE, "x" * 100) == "x" * 37 + "..."
    assert [style.written("optimizer.lr", value) for value in (2e-5, 1.25e-3)] == ["2e-5", "1.25e-3"]
    assert [style.written("phase", value) for value in ("em_after_grpo", "mine")] == ["EM after GRPO", "mine"]


@pytest.mark.parametrize(("kind", "axes"), [("heatmap", [TEMPLATE, "rollout.temperature"]), ("steps", [TEMPLATE])])
def test_odd_values_are_in_the_picture(store: Store, commit: Commit, kind: str, axes: list[str]) -> None:
    odd = ODD if kind == "heatmap" else ODD[-6:]  # as many as there are colours
    trials = [with_template(value) for value in odd]
    for of in trials:
        commit(of, [0.5, 0.5])
    made = drawn(store, Figure("odd", kind, axes, Headline(10, EVALUATIONS), steps=[10]), cells(trials, *axes))
    written = [text.replace("\xa0", " ").rstrip("…") for text in texts(svg(made))]
    shown = [style.written(TEMPLATE, value + "{problem}") for value in odd]
    assert all(any(text and name.startswith(text) for text in written) for name in shown)
    assert [name for name in shown if len(name) < 20 and name not in written] == []


def test_odd_names_of_models_and_figures_are_drawn(store: Store, commit: Commit) -> None:
    of = replace(trial(), model=Model(path="models/$a^{'\n"))
    commit(of, [0.5, 0.5])
    figure = Figure("f", "axis", ["rollout.temperature"], Headline(10, EVALUATIONS))
    made = drawn(store, figure, cells([of]))
    assert "$a^{'\\n after step 10 of entropy minimisation" in texts(svg(made))
    assert {suffix: len(content) > 1000 for suffix, content in pictures(specification(made)).items()} == {
        "pdf": True,
        "png": True,
        "svg": True,
    }


@pytest.mark.parametrize("name", ["a", "a b", "é$^{_}\\#%?:", "a.b-c", "x" * 100, "é" * 50])
def test_names_of_files(name):
    require_file_name("sweep.name", name)


@pytest.mark.parametrize(
    "name", ["", ".", "..", ".a", "-a", "/", "a/b", "a\nb", "a\0", " a", "a ", "x" * 101, "é" * 51, "\ud800"]
)
def test_names_of_no_file(name):
    with pytest.raises(InputError, match=r"^sweep\.name='.*': give a name that can be a file's: at most 100 bytes"):
        require_file_name("sweep.name", name)
