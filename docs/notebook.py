import marimo

__generated_with = "0.25.2"
app = marimo.App(width="medium", app_title="What a store holds")

with app.setup:
    import altair as alt
    import marimo as mo
    import numpy as np
    import polars as pl
    from numpy.random import default_rng

    import analysis
    from analysis import answers, comparison, components, stats
    from analysis.seeds import seeds as observed
    from analysis.show import trial as one_trial
    from analysis.summary import matrix, summarise
    from em.store import Store
    from sweeps import expand
    from sweeps.config import compose_launch


@app.cell(hide_code=True)
def _():
    mo.md("""
    # What a store holds

    This notebook reads the temperature sweep (`make sweep-temperature`) from a folder of records: its tables, a
    figure by hand, intervals, comparisons, and where the spread of seeds comes from. Change any cell; those that
    depend on it run again. docs/analysis.md says what the columns mean and why the statistics are as they are.
    """)
    return


@app.cell
def _():
    folder = mo.ui.text(value=str(mo.cli_args().get("store") or "results"), label="folder of the store")
    mo.vstack([folder])
    return (folder,)


@app.cell
def _(folder):
    config = compose_launch(["sweep=temperature"])  # any words of a launch, such as scale=paper
    wanted, headline = expand.frame(config), config.headline()
    asked = [evaluation.id for evaluation in headline.evaluations]
    remedy = f"`make sweep-temperature` trains and measures {len(wanted)} models; or name another folder above."
    is_empty = not Store(folder.value).units_of(wanted["trial_id"])
    mo.stop(is_empty, mo.md(f"`{folder.value}` holds no trial of the sweep. {remedy}"))
    tables = analysis.load(folder.value, expand.trial_ids([config]))
    return asked, headline, tables, wanted


@app.cell(hide_code=True)
def _():
    mo.md("""
    ## The tables

    `trials` has a row per trial, with its config by dotted path; `scores` a row per (trial, step, evaluation);
    `steps` a row per (trial, optimiser step); `attempts` counts attempts that failed. All join on `trial_id`.
    """)
    return


@app.cell
def _(tables):
    mo.ui.tabs({name: getattr(tables, name) for name in ("trials", "scores", "steps", "attempts")})
    return


@app.cell(hide_code=True)
def _():
    mo.md("""
    ## Figure 3 by hand

    Accuracy after ten steps against training temperature: a point for each seed, a line through the means. A seed's
    accuracy is the mean over benchmarks. Hover over a point to see its seed.
    """)
    return


@app.cell
def _(asked, tables):
    scores = tables.scores.filter(pl.col("step") == 10, pl.col("evaluation_id").is_in(asked))
    seeds = scores.join(tables.trials, on="trial_id").group_by("rollout.temperature", "seed").agg(pl.mean("accuracy"))
    means = seeds.group_by("rollout.temperature").agg(pl.mean("accuracy"))
    x, y = alt.X("rollout\\.temperature:Q", title="training temperature"), alt.Y("accuracy:Q").scale(zero=False)
    figure = (alt.Chart(seeds).mark_point().encode(tooltip="seed") + alt.Chart(means).mark_line()).encode(x, y)
    mo.vstack([figure])
    return (x,)


@app.cell(hide_code=True)
def _():
    mo.md("""
    ## The same as figures have it

    By hand, what is missing is missing. `analysis.seeds.seeds` has a row for each trial that the sweep wants, also
    where there is no score, and says in `outcome` why: diverged, failed or missing. `summarise` makes a row of each
    cell; the numbers are those of the figure's CSV file.
    """)
    return


@app.cell
def _(headline, tables, wanted):
    axis = "rollout.temperature"
    own = observed(wanted, tables, headline).sort(axis, "seed")
    scored = own.filter(pl.col("score").is_not_null())
    mo.stop(scored.is_empty(), mo.md("No trial has a score on all benchmarks yet."))
    cells = summarise(own, [axis], default_rng(0))
    mo.vstack([cells])
    return axis, own, scored


@app.cell(hide_code=True)
def _():
    mo.md("""
    ## An interval

    `analysis.stats` maps arrays to arrays: `scores_CKS` are the scores of C cells, of K strata (here one), of S
    seeds; nan where there is none. The interval is over seeds, and never shorter than Student's.
    """)
    return


@app.cell
def _(axis, own, x):
    scores_CKS = matrix(own, [axis])
    mean_C = stats.mean(scores_CKS)
    low_C, high_C = stats.interval(default_rng(0), scores_CKS)
    intervals = pl.DataFrame({axis: own[axis].unique().sort(), "mean": mean_C, "low": low_C, "high": high_C})
    low = alt.Y("low:Q", title="accuracy").scale(zero=False)
    band = alt.Chart(intervals).mark_errorbar().encode(low, alt.Y2("high:Q"))
    centre = alt.Chart(intervals).mark_point(filled=True).encode(alt.Y("mean:Q"))
    mo.vstack([(band + centre).encode(x), intervals])
    return


@app.cell(hide_code=True)
def _():
    mo.md("""
    ## Two cells

    How often is a seed of one cell better than a seed of another? `comparison.improvement` counts over all pairs: 0.5
    says that they are alike, and an interval that leaves 0.5 out says that they are not.
    """)
    return


@app.cell
def _(axis, scored):
    temperatures = {f"{value:g}": value for value in scored[axis].unique().sort()}
    one = mo.ui.dropdown(temperatures, value=max(temperatures, key=float), label="training temperature")
    other = mo.ui.dropdown(temperatures, value=min(temperatures, key=float), label="against")
    mo.hstack([one, other], justify="start")
    return one, other


@app.cell
def _(axis, one, other, scored):
    one_cell, other_cell = (scored.filter(pl.col(axis) == chosen.value) for chosen in (one, other))
    improvement = comparison.improvement(one_cell["score"].to_numpy(), other_cell["score"].to_numpy())
    mo.md("A seed of the first is better with probability {:.2f} ({:.2f} to {:.2f}).".format(*improvement))
    return one_cell, other_cell


@app.cell(hide_code=True)
def _():
    mo.md("""
    ## Two models

    Two single models answered the same problems, so they are compared problem by problem: `comparison.paired` has the
    mean difference, its interval over problems and the p of no difference. Here they are the first seeds of the two
    cells. Whoever looks at many pairs corrects their p's with `comparison.holm`.
    """)
    return


@app.cell
def _(asked, headline, one_cell, other_cell, tables):
    def answered(trial_id: str) -> np.ndarray:
        """The share of correct answers to each problem, all benchmarks one after the other: P."""
        results = one_trial.united(one_trial.graded(tables.store, trial_id))
        own = [result for result in results if result.step == headline.step and result.evaluation_id in asked]
        return np.concatenate([x_P for x_P in map(one_trial.shares, own) if x_P is not None])

    first, second = (cell["trial_id"][0] for cell in (one_cell, other_cell))
    paired = comparison.paired(default_rng(0), answered(first), answered(second))
    mo.md(f"{paired.difference:+.3f} ({paired.low:+.3f} to {paired.high:+.3f}), p = {paired.p:.3g}")
    return


@app.cell(hide_code=True)
def _():
    mo.md("""
    ## Where the spread comes from

    Scores of seeds differ because models differ and because each gave a finite number of answers. The records tell
    the second (`variance`), so `components` tells the first: `share` is the part of the variance that is the seeds'.
    The best of many seeds is too good by the noise that was chosen with it; `best_of` corrects that. Both want the
    noise that models do not share. Trials answer with the same random numbers, and what these do to all alike spreads
    no scores: `answers.own_noise` reads the single answers and leaves it out.
    """)
    return


@app.cell
def _(asked, axis, scored, tables):
    rows = []
    for (temperature,), cell in scored.group_by(axis, maintain_order=True):
        measured = tables.scores.join(cell.select("trial_id", "step"), on=["trial_id", "step"])
        noises = answers.own_noise(tables, measured.filter(pl.col("evaluation_id").is_in(asked)))
        scores_S, noise = cell["score"].to_numpy(), sum(noises.values()) / len(noises) ** 2
        noise_S = np.full(len(scores_S), noise)
        parts = components.components(scores_S, noise_S)
        best = components.best_of(scores_S, noise_S)
        rows.append({axis: temperature, **parts._asdict(), "best": best.raw, "corrected": best.corrected})
    spread = pl.DataFrame(rows)
    mo.vstack([spread])
    return


if __name__ == "__main__":
    app.run()
