"""Which figures a sweep has."""

import pytest

from analysis.figures import Figure
from em.errors import InputError
from sweeps.config import compose_launch
from sweeps.expand import frame
from sweeps.figures import check, figures_of, main

TEMPERATURE, LR = "rollout.temperature", "optimizer.lr"
TWO = f"sweep.axes=[{{field:{TEMPERATURE},values:[1,2]}},{{field:{LR},values:[1e-3,1e-4]}}]"
MEASURED = ["eval.steps=[5,10,2]", "eval.temperatures=[0.6,0.0]"]


def figures(*words: str) -> list[Figure]:
    launch = compose_launch(["sweep=smoke", *words])
    return figures_of(launch, frame(launch))


def checked(*words: str) -> None:
    launch = compose_launch(list(words))
    check(launch, frame(launch))


@pytest.mark.parametrize(
    ("words", "kinds"),
    [
        ([], ["axis"]),
        ([TWO], ["heatmap"]),
        (["sweep.axes=[]"], []),
        (["sweep.axes=[{field:rollout.engine,values:[vllm,transformers]}]"], []),  # words
        (["sweep.axes=[{field:model.pretrain.seed,values:[0,1]}]"], []),  # several base models
        (["sweep.figures=[]"], []),
    ],
)
def test_where_none_is_named_the_axes_decide(words: list[str], kinds: list[str]) -> None:
    assert [figure.kind for figure in figures(*words)] == kinds


def test_unless_told_otherwise_a_score_is_of_the_last_step_and_the_first_temperature() -> None:
    headlines = [figure.headline for figure in figures(*MEASURED, "sweep.figures=[{},{name:b,step:5,temperature:0}]")]
    assert [(headline.step, headline.temperature) for headline in headlines] == [(10, 0.6), (5, 0.0)]
    assert [len(headline.evaluations) for headline in headlines] == [6, 6]


def test_figures_are_named_after_their_sweep_and_kind() -> None:
    shown = figures(TWO, f"sweep.figures=[{{kind:heatmap,axes:[{LR},{TEMPERATURE}]}},{{kind:axis}},{{name:mine}}]")
    assert [figure.name for figure in shown] == ["smoke", "smoke-axis", "mine"]
    assert [figure.axes for figure in shown] == [[LR, TEMPERATURE], [TEMPERATURE, LR], [TEMPERATURE, LR]]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["sweep.figures=[{},{},{}]"], "sweep.figures=['smoke', 'smoke-axis', 'smoke-axis']: give each a name"),
        (["sweep.figures=[{step:7}]"], "sweep.figures.step=7: is not measured; choose one of eval.steps=[10]"),
        (["sweep.figures=[{temperature:0.5}]"], "sweep.figures.temperature=0.5: is not measured"),
        (["sweep.figures=[{axes:[rollout.temprature]}]"], "did you mean 'rollout.temperature'?"),
        (["sweep.figures=[{name:a/b}]"], "sweep.figures.name='a/b': give a name that can be a file's"),
        (["sweep.figures=[{kind:heatmpa}]"], "unknown kind of figure 'heatmpa': did you mean 'heatmap'?"),
        (["sweep.figures=[{kind:logits}]"], "figure smoke: benchmarks=6: a figure of logits shows those of one"),
        (["sweep.figures=[{kind:eval_temperature}]"], "figure smoke: eval.temperatures=[1.0]: a figure against them"),
        ([TWO, "sweep.figures=[{axes:[optimizer.lr]}]"], "figure smoke: the sweep varies more than optimizer.lr, the"),
    ],
)
def test_a_wrong_figure_is_named(words: list[str], message: str) -> None:
    with pytest.raises(InputError) as error:
        checked("sweep=smoke", *words)
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("sweep", "kinds"),
    [
        ("temperature", ["axis"]),
        ("lr", ["axis"]),
        ("grid", ["heatmap"]),
        ("steps", ["steps"]),
        ("em-rl", ["steps"]),
        ("eval-temperature", ["eval_temperature"]),
        ("logits", ["logits"]),
        ("shots", ["dynamics", "steps"]),
        ("gain", ["gain"]),
    ],
)
def test_the_sweeps_of_the_paper_can_be_drawn(sweep: str, kinds: list[str]) -> None:
    launch = compose_launch([f"sweep={sweep}"])
    check(launch, frame(launch))
    assert [figure.kind for figure in figures_of(launch, frame(launch))] == kinds


def test_what_is_pooled_is_no_axis() -> None:
    [figure] = figures(TWO, f"sweep.figures=[{{pool:[{LR}]}}]")
    assert (figure.axes, figure.pool) == ([TEMPERATURE], [LR])
    checked("sweep=smoke", TWO, f"sweep.figures=[{{pool:[{LR}]}}]")


def test_a_sweep_without_a_figure_says_so() -> None:
    with pytest.raises(InputError, match="sweep gain has no figure"):
        main(["sweep=gain", "sweep.figures=[]"])
