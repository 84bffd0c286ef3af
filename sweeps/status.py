"""How a sweep stands, from what is in the store: on any machine that sees it, whether or not a launch is running.

    python -m sweeps.status sweep=temperature           # once
    python -m sweeps.status watch sweep=temperature     # live, until all is recorded; redraws the figure meanwhile

Needs neither Ray nor torch nor vLLM; a store that can only be read will do.
"""

import shlex
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
from rich.box import SIMPLE_HEAD
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from analysis.seeds import Outcome
from em.cli.command import run_command, terminal
from sweeps.board import Notice
from sweeps.config import compose_launch
from sweeps.plan import describe
from sweeps.progress import duration, lanes, timing, trouble
from sweeps.snapshot import Snapshot
from sweeps.standing import Observer, Standing

REFRESH_SECONDS = 3.0
LINE_SECONDS = 10.0  # the same, where the output is no terminal
IDLE = 4.0  # times what a refresh took, that pass before the next
ROWS = 40  # that are shown, of cells and of lanes
BAR = 16  # characters
LOOKS = {
    Outcome.scored: ("■", "blue"),
    Outcome.diverged: ("x", "red"),
    Outcome.failed: ("!", "yellow"),
    Outcome.missing: ("·", "dim"),
}


def line(sweep: Observer, now: Standing) -> str:
    """In one line, for logs: what does not change by itself."""
    live = [notice for notice in sweep.launches() if notice.is_live]
    states = [f"{state(snapshot_of(notice))} on {notice.said['node']}" for notice in live] or ["no launch is running"]
    recorded = f"{now.plan.recorded}/{len(now.plan.wanted)} recorded"
    return f"{sweep.config.sweep.name}: {', '.join([recorded, *now.trouble, *states])}"


def head(sweep: Observer, now: Standing, rows: int = ROWS, drawn: Sequence[Path] = ()) -> Group:
    """The launches and the plan."""
    name, launches, left = sweep.config.sweep.name, sweep.launches(), bool(now.plan.todo)
    parts: list[RenderableType] = []
    for notice in launches:
        parts += live(notice, rows) if notice.is_live else [over(notice, left)]
    if not launches:
        start = f": `make sweep-{name}` starts one" if left else ""
        parts.append(Text(f"no launch of {name} is known here{start}", style="yellow" * left))
    wanted, recorded, share = len(now.plan.wanted), now.plan.recorded, Table.grid(padding=(0, 2))
    share.add_row(ProgressBar(total=wanted, completed=recorded, width=32), f"{recorded / wanted:.1%}", *now.trouble)
    parts += [Text(), Text(describe(sweep.config, now.plan, sweep.store)), share]
    if now.failed and not now.plan.given_up:
        parts.append(Text("`make failures` says what failed"))
    parts += [Text(f"drawn: {path}", style="dim") for path in drawn if path.suffix == ".png"]
    return Group(*parts)


def live(notice: Notice, rows: int) -> list[RenderableType]:
    """A launch that is running: what it says of itself, a line for each lane."""
    said, now = notice.said, snapshot_of(notice)
    started = datetime.fromisoformat(said["started"])
    ran = duration(max(0.0, (datetime.now(UTC) - started).total_seconds()))
    parts: list[RenderableType] = [
        Text.assemble(
            (state(now), "bold green" if now and not (now.paused or now.stopped) else "bold yellow"),
            f" on {place(said)}, since {started:%Y-%m-%d %H:%M} UTC ({ran}), last notice {age(notice)}",
        ),
        Text(f"  {command(said)}", style="dim"),
    ]
    if now is None:
        return [
            *parts,
            Text(
                "  starting"
                if said["snapshot"] is None
                else "  another version of the code wrote its notice: it cannot be read here"
            ),
        ]
    work = [f"{now.recorded} of {now.planned} done", f"{now.running} running", *timing(now)]
    wrong = [what for what in trouble(now) if what != "paused"]
    parts += [Text("  " + "  ".join(facts)) for facts in (work, wrong) if facts]
    return [*parts, lanes(now, rows)]


def state(now: Snapshot | None) -> str:
    if now is not None and now.stopped:
        return f"stopping ({now.stopped})"
    return "paused" if now is not None and now.paused else "running"


def over(notice: Notice, left: bool) -> Text:
    """A launch that is no longer live: how it ended, or when it was last heard of."""
    said, work = notice.said, notice.said["snapshot"]
    goes_on = f": the same command goes on\n  {command(said)}" if left else ""
    if not said["over"]:
        return Text(f"no launch is running; last sign of life {age(notice)} on {place(said)}{goes_on}", style="yellow")
    reason = f" ({work['stopped']})" if work["stopped"] else ""
    done = f"{work['done'] + work['diverged']} of its {work['planned']} units of work done"
    return Text(f"no launch is running; the last one ended {age(notice)}{reason} on {place(said)}, {done}{goes_on}")


def place(said: Mapping[str, Any]) -> str:
    return f"{said['node']}, pid {said['pid']}"


def command(said: Mapping[str, Any]) -> str:
    return f".venv/bin/python -m sweeps {shlex.join(said['arguments'])}"


def age(notice: Notice) -> str:
    return f"{duration(max(0.0, notice.age))} ago"


def snapshot_of(notice: Notice) -> Snapshot | None:
    """What the queue of a launch said; None where it has not yet, or another version of the code wrote it."""
    try:
        return Snapshot.of(notice.said["snapshot"] or {"lanes": {}})
    except TypeError:
        return None


def cells(sweep: Observer, now: Standing, rows: int = ROWS) -> RenderableType:
    """A row for each combination of the axes' values; scores in per cent.  Of a union a line for each of its sweeps."""
    if sweep.config.parts:
        return Group(Text(), *(Text(part_line(part.config.sweep.name, seeds)) for part, seeds in now.parts))
    headline = sweep.headline
    if headline.step == 0:
        return Text()  # only base models are wanted
    base = "" if now.base is None else f"; base model {100 * now.base:.1f}"
    title = f"accuracy {headline.after} at temperature {headline.temperature:g}, %{base}"
    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), show_edge=False)
    for path in sweep.cell:
        table.add_column(
            path.replace(".", ".\n"), justify="right", vertical="bottom", overflow="ellipsis", no_wrap=True
        )
    groups = now.seeds.group_by(sweep.cell, maintain_order=True).agg(pl.len().alias("wanted"), "outcome", "score")
    lost = [outcome for outcome in (Outcome.diverged, Outcome.failed) if (now.seeds["outcome"] == outcome.value).any()]
    table.add_column("")
    for heading in ("recorded", *(outcome.value for outcome in lost), "mean", "worst", "best"):
        table.add_column(heading, justify="right", no_wrap=True)
    for row in groups.head(rows).iter_rows(named=True):
        count = Counter(map(Outcome, row["outcome"]))
        scores = [score for score in row["score"] if score is not None]
        spread = [sum(scores) / len(scores), min(scores), max(scores)] if scores else []
        table.add_row(
            *(written(row[path]) for path in sweep.cell),
            bar(count),
            f"{count[Outcome.scored] + count[Outcome.diverged]}/{row['wanted']}",
            *(str(count[outcome] or "") for outcome in lost),
            *([f"{100 * score:.1f}" for score in spread] or ["-"] * 3),
        )
    rest = Counter(groups.tail(-rows)["outcome"].explode())
    recorded = rest[Outcome.scored.value] + rest[Outcome.diverged.value]
    more = [Text(f"and {len(groups) - rows} more: {recorded}/{rest.total()} recorded")] if rest else []
    return Group(Text(), Text(title), table, *more)


def part_line(name: str, seeds: pl.DataFrame) -> str:
    """`temperature: 16 of 128 trials`"""
    recorded = seeds["outcome"].is_in([Outcome.scored.value, Outcome.diverged.value]).sum()
    return f"  {name}: {recorded} of {len(seeds)} trials recorded"


def bar(count: Counter[Outcome]) -> Text:
    """A mark for each seed or, where there are many, for each so many: the worst thing among them."""
    order = [LOOKS[outcome] for outcome in LOOKS for _ in range(count[outcome])]
    width = min(BAR, len(order))
    return Text.assemble(*(order[(place + 1) * len(order) // width - 1] for place in range(width)))


def written(value: Any) -> Text:
    return Text(f"{value:g}" if isinstance(value, float) else str(value))


def watch(sweep: Observer, console: Console) -> None:
    """Until all that is wanted is recorded or given up."""
    seconds = REFRESH_SECONDS if console.is_interactive else LINE_SECONDS
    drawn, paths, said = None, [], ""
    with Live(console=console, auto_refresh=False) as display:
        while True:
            start, now = time.monotonic(), sweep.look()
            above = head(sweep, now, max(3, console.height // 4), paths)
            room = console.height - len(console.render_lines(above)) - 7
            display.update(Group(above, cells(sweep, now, min(ROWS, max(5, room)))), refresh=True)
            if not console.is_interactive and (text := line(sweep, now)) != said:
                console.print(said := text, highlight=False, markup=False, soft_wrap=True)
            if now is not drawn:
                drawn, paths = now, sweep.draw()
            if not now.plan.todo:
                break
            time.sleep(max(seconds, IDLE * (time.monotonic() - start)))
        display.update(Group(head(sweep, now, drawn=paths), cells(sweep, now)))


def main(arguments: list[str]) -> None:
    console = terminal()
    if arguments[:1] == ["watch"]:
        watch(Observer(compose_launch(arguments[1:])), console)
    else:
        sweep = Observer(compose_launch(arguments))
        now = sweep.look()
        console.print(head(sweep, now), cells(sweep, now), sep="\n")


if __name__ == "__main__":
    run_command(main, __doc__)
