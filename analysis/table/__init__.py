"""A sweep's table: what each of its cells scores on each benchmark, beside what it started from and the paper's rows.

The seed that is best on the test problems is too good: it is the best by luck too.  So beside it stand the mean, its
score corrected for the choice, and the seed that validation problems choose.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.random import default_rng

from analysis import comparison, components, style
from analysis.answers import own_noise
from analysis.draw import warnings
from analysis.gain import validated
from analysis.seeds import AVERAGE, PLACE, Headline, measured, observe
from analysis.summary import LOST, matrix, summarise
from analysis.table import paper
from analysis.tables import Tables
from em.errors import InputError
from em.trial.evaluation import Evaluation
from em.trial.trial import Trial

AS_IT_IS, ONE, MANY = "as it is", "EM on one prompt", "EM on many prompts"
THEIRS = {"base": AS_IT_IS, "RL": AS_IT_IS, "EM 1-shot": ONE, "EM multi-shot": MANY}  # methods, as the paper's are here

MEASURED = "measured"
MEAN = "mean over seeds"
GAIN = "mean minus base"
BEST = "best seed on the test problems (too good)"
CORRECTED = "best seed, corrected for the choice"
CHOSEN = "seed chosen on validation problems"
PAPER, PEAK = "paper", "paper (peak)"
ROWS = {
    "model": pl.String,  # what it started from
    "method": pl.String,
    "statistic": pl.String,  # one of those above
    "metric": pl.String,  # a benchmark, or the average
    "score": pl.Float64,  # a share, or a difference of shares
    "low": pl.Float64,  # 95% interval
    "high": pl.Float64,
    "p": pl.Float64,  # of no difference, corrected by Holm for all differences of the table
    "n": pl.Int64,  # models that it is of, or was chosen from; null: the paper does not say
    **dict.fromkeys(LOST, pl.Int64),
    "seed": pl.Int64,  # that was chosen
    "recomputed": pl.Float64,  # mean of the benchmarks, where the paper prints another average
}
CELL = ("start_id", "start_step", "start", "called")  # columns that make a cell
Row = Mapping[str, object]


@dataclass(frozen=True)
class Table:
    """One table of a sweep.  The score is a trial's after the last step that is wanted of it."""

    name: str  # of the sweep
    axes: Sequence[str]  # that make a cell
    headline: Headline
    measured: Sequence[Evaluation]  # at all temperatures, validation problems too
    paper: int = 0  # the paper's table that stands beside it; 0: none

    @property
    def benchmarks(self) -> list[str]:
        return list(dict.fromkeys(item.benchmark.name for item in self.headline.evaluations))

    @property
    def validation(self) -> list[Evaluation]:
        """What chooses a seed: the evaluations on validation problems at the headline's temperature."""
        return [item for item in validated(self.measured) if item.temperature == self.headline.temperature]


def named(cells: pl.DataFrame, trials: Sequence[Trial], axes: Sequence[str]) -> pl.DataFrame:
    """`cells` with the words of a row: `start`, what is trained (`tiny after GRPO`), and `called`, how.

    `trials` are those of the cells, in their order.  Raises InputError where two rows would be called alike.
    """
    of_model = [axis for axis in axes if axis.startswith("model.")]
    others = [axis for axis in axes if axis not in ("model", "phase", *of_model)]
    starts, called = [], []
    for trial, cell in zip(trials, cells.iter_rows(named=True), strict=True):
        model = ", ".join([str(cell["model"]), *values(of_model, cell)])
        earlier = "+".join(written(item.phase.objective.name) for item in trial.before)
        starts.append(f"{model} after {earlier}" if earlier else model)
        called.append(", ".join([method(trial), *values(others, cell)]))
    shown = cells.with_columns(start=pl.Series(starts, dtype=pl.String), called=pl.Series(called, dtype=pl.String))
    start, by_name = ["start_id", "start_step"], shown.select("start", "called").unique()
    alike = shown.select(start).unique().height > shown["start"].n_unique()
    if alike or shown.select(*start, "called", *axes).unique().height > by_name.height:
        raise InputError("sweep.table: two cells differ in what its rows do not say; take values of one out")
    return shown


def values(axes: Sequence[str], cell: Row) -> list[str]:
    """`learning rate 2e-5`"""
    return [f"{style.label(axis)} {style.written(axis, cell[axis])}" for axis in axes]


def method(trial: Trial) -> str:
    """What trained it: `EM on one prompt`, `GRPO`."""
    if trial.phase is None:
        return AS_IT_IS
    if trial.phase.objective.name != "em":
        return written(trial.phase.objective.name)
    return ONE if trial.phase.prompts.most == 1 else MANY


def written(objective: str) -> str:
    return style.WORDS.get(objective, objective)


def observed(table: Table, cells: pl.DataFrame, tables: Tables) -> pl.DataFrame:
    """One row per wanted trial and metric, the columns of `analysis.seeds.observe`; `cells` as of `named`.

    `base_score` and `base_variance` are those of the weights that the last phase started from, `validation` the mean
    score on validation problems.
    """
    chosen = {"trial_id": pl.Categorical(), "step": pl.Int64, "validation": pl.Float64}
    found = pl.DataFrame(schema=chosen)
    if table.validation:
        found = measured(tables.scores, table.validation).select("trial_id", "step", validation="score")
    frames = []
    for metric in (*table.benchmarks, AVERAGE):
        first, last = (observe(cells, tables, table.headline.evaluations, [at], metric=metric) for at in (0, None))
        start = first.select("trial_id", base_score="score", base_variance="variance")
        frames.append(
            last.drop("base_score", "base_variance").join(start, on="trial_id", how="left", maintain_order="left")
        )
    together = pl.concat(frames).join(found, on=["trial_id", "step"], how="left", maintain_order="left")
    return with_own_noise(together, table, tables)


def with_own_noise(seeds: pl.DataFrame, table: Table, tables: Tables) -> pl.DataFrame:
    """With `variance` as what chance does to a trial's score alone, and not to all of its cell: they answer with the
    same random numbers (`analysis.components.own_noise`); null where that is not known."""
    evaluations = pl.col("evaluation_id").is_in([item.id for item in table.headline.evaluations])
    scores, rows = tables.scores.filter(evaluations), []
    for key, cell in seeds.filter(pl.col("last_step") > 0).group_by(CELL, maintain_order=True):
        places = cell.select("trial_id", "step").unique()
        noises = own_noise(tables, scores.join(places, on=["trial_id", "step"], maintain_order="left"))
        average = sum(noises.values()) / len(noises) ** 2 if set(noises) == {*table.benchmarks} else float("nan")
        rows += [(*key, metric, noise) for metric, noise in (*noises.items(), (AVERAGE, average))]
    schema = {name: seeds.schema[name] for name in (*CELL, "metric")} | {"own": pl.Float64}
    own = pl.DataFrame(rows, schema, orient="row").fill_nan(None)
    both = seeds.join(own, on=[*CELL, "metric"], how="left", maintain_order="left")
    trained = pl.when(pl.col("last_step") > 0).then("own").otherwise("variance")
    return both.with_columns(variance=trained).drop("own")


def rows(table: Table, seeds: pl.DataFrame) -> pl.DataFrame:
    """The table, one row per line and metric: the columns of ROWS.  `seeds` as of `observed`.

    The weights that cells start from come first, then the cells; the paper's rows stand below ours, those that we have
    no counterpart of at the end.
    """
    trained, theirs, made = numbers(seeds), paper_rows(table.paper), list[Row]()
    for (start, step), of_start in seeds.group_by("start_id", "start_step", maintain_order=True):
        model = of_start["start"][0]
        made += [base(model, of_metric) for _, of_metric in of_start.group_by("metric", maintain_order=True)]
        made += taken(theirs, model, AS_IT_IS)
        cells = of_start.filter(pl.col("last_step") > 0)
        for (called,), cell in cells.group_by("called", maintain_order=True):
            own = {"model": model, "method": called}
            is_own = (pl.col("start_id") == start) & (pl.col("start_step") == step) & (pl.col("called") == called)
            of_cell = trained.filter(is_own)
            made += [of(own, number) for of in (mean, gained) for number in of_cell.iter_rows(named=True)]
            made += [{**own, **line} for line in chosen(cell)]
            made += taken(theirs, model, str(called))
    made += [row for block in theirs.values() for row in block]
    return pl.DataFrame(made, ROWS)


def numbers(seeds: pl.DataFrame) -> pl.DataFrame:
    """The columns of `analysis.summary.summarise` for each trained cell and metric; p is corrected for them all."""
    trained = seeds.filter(pl.col("last_step") > 0)
    if trained.is_empty():
        return trained
    first = trained.group_by([*CELL, *PLACE], maintain_order=True).agg(pl.first("base_score", "base_variance"))
    base_C, variance_C = first["base_score"].to_numpy(), first["base_variance"].fill_null(0.0).to_numpy()
    p_C = comparison.no_gain(matrix(trained, [*CELL, *PLACE]), base_C, variance_C)
    made = summarise(trained, CELL, default_rng(0))
    return made.with_columns(p=pl.Series(comparison.holm(p_C)).fill_nan(None))


def base(model: str, of_metric: pl.DataFrame) -> Row:
    score = of_metric["base_score"][0]
    own = {"model": model, "method": AS_IT_IS, "statistic": MEASURED, "metric": of_metric["metric"][0]}
    return own | {"score": score, "n": int(score is not None), "missing": int(score is None)}


def mean(own: Row, number: Row) -> Row:
    same = {name: number[name] for name in ("metric", "low", "high", "n", *LOST)}
    return {**own, **same, "statistic": MEAN, "score": number["mean"]}


def gained(own: Row, number: Row) -> Row:
    same = {name: number[name] for name in ("metric", "p", "n", *LOST)}
    return {**own, **same, "statistic": GAIN, "score": number["gain"]}


def chosen(cell: pl.DataFrame) -> list[Row]:
    """The best seed, its average corrected for the choice, and the one that validation problems choose; of equal ones
    the first."""
    average = cell.filter(pl.col("metric") == AVERAGE).drop_nulls("score").sort("seed")
    validation = average.drop_nulls("validation")
    made = picked(cell, BEST, average, "score")
    score_S, noise_S = (average[name].cast(pl.Float64).to_numpy() for name in ("score", "variance"))
    if not np.isnan(score_S + noise_S).all():
        best = components.best_of(score_S, noise_S)
        same = {"statistic": CORRECTED, "metric": AVERAGE, "n": average["variance"].count()}
        ends = {"score": best.corrected, "low": best.low, "high": best.high}
        made.append(same | ends | {"seed": average["seed"][best.seed]})
    return made + picked(cell, CHOSEN, validation, "validation")


def picked(cell: pl.DataFrame, statistic: str, among: pl.DataFrame, by: str) -> list[Row]:
    """What the seed scores that is the highest of these; nothing where there are none."""
    if among.is_empty():
        return []
    seed = among.sort(by, descending=True, maintain_order=True)["seed"][0]
    scores = cell.filter(pl.col("seed") == seed).select("metric", "score").rows()
    return [
        {"statistic": statistic, "metric": name, "score": score, "n": len(among), "seed": seed}
        for name, score in scores
    ]


def paper_rows(table: int) -> dict[tuple[str, str], list[Row]]:
    """The rows of the paper's table, by model and method as they are called here."""
    blocks = dict[tuple[str, str], list[Row]]()
    for row in paper.printed(table).iter_rows(named=True):
        key = our_name(row["model"]), THEIRS[row["method"]]
        statistic = PAPER if key[1] == AS_IT_IS else PEAK
        differs = row["recomputed"] if row["recomputed"] != row[AVERAGE] else None
        same = {"model": row["model"], "method": key[1] if row["method"] != "RL" else "RL", "statistic": statistic}
        blocks[key] = [
            same | {"metric": name, "score": row[name], "recomputed": differs if name == AVERAGE else None}
            for name in (*paper.BENCHMARKS.values(), AVERAGE)
        ]
    return blocks


def our_name(model: str) -> str:
    """`OpenReasoner-Zero-7B` is openreasoner-zero-7b, a file of conf/model/."""
    return model.lower().replace(" ", "-")


def taken(theirs: dict[tuple[str, str], list[Row]], model: str, called: str) -> list[Row]:
    """The paper's row that is the counterpart of ours, called as ours is; it is taken out."""
    return [{**row, "model": model, "method": called} for row in theirs.pop((our_name(model), called), [])]


def notes(table: Table, seeds: pl.DataFrame) -> list[str]:
    """What a reader should know about how the numbers came about."""
    said = warnings(CELL, seeds)
    if not table.validation:
        said.append("no validation problems are measured, so that no seed is chosen on them (benchmarks.NAME.split)")
    if seeds["score"].count() and not seeds["variance"].count():
        said.append("one answer to each problem: how far chance moves a score is not known, and nothing is corrected")
    return said
