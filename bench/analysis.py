"""What figures, tables and report of 13,440 trials cost, each measured after 50 steps on 4 benchmarks: 2.7 million
scores.

The store is filled with synthetic records; then the commands are timed from outside.  The page is opened where there is
a Chromium.
"""

import os
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from shutil import which

from bench.processes import command_seconds, seconds_and_peak_mib
from bench.rows import Row, at_most
from tests.synthetic import TRIALS, grid, tabled

SECONDS, MIB = 15, 2048
REPORT_SECONDS, OPENED_SECONDS, PAGE_MB = 20, 3, 15
CHROMIUM = which("chromium") or which("chromium-browser") or which("google-chrome")


def rows(folder: Path, trials: int = TRIALS) -> Iterator[Row]:
    store, environment = folder / "results", os.environ | {"XDG_CACHE_HOME": str(folder / "cache")}
    command_seconds(sys.executable, "-m", "tests.synthetic", str(store), str(trials), environment=environment)
    words, share = grid(store, trials), max(1, trials / TRIALS)

    def measured(module: str, words: Sequence[str] = words) -> tuple[float, float]:
        return seconds_and_peak_mib(sys.executable, "-m", f"sweeps.{module}", *words, environment=environment)

    figures, tables, report = measured("figures"), measured("tables", tabled(store, trials)), measured("report")
    yield Row(f"figures and tables of {trials} trials", figures[0] + tables[0], "s", at_most(SECONDS * share))
    yield Row("figures and tables: the most memory", max(figures[1], tables[1]), "MiB", at_most(MIB * share))
    yield Row(f"report of {trials} trials", report[0], "s", at_most(REPORT_SECONDS * share))
    yield Row("report: the most memory", report[1], "MiB", at_most(MIB * share))
    page = store / "report" / "grid" / "index.html"
    yield Row("report: its page", page.stat().st_size / 1e6, "MB", at_most(PAGE_MB))
    if CHROMIUM:
        yield Row("report: opened, its first figure drawn", opened_seconds(page), "s", at_most(OPENED_SECONDS))


def opened_seconds(page: Path) -> float:
    """From the call of the page until its first figure stands."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        tab = browser.new_page(viewport={"width": 1280, "height": 1400})
        start = time.perf_counter()
        tab.goto(page.as_uri())
        tab.wait_for_selector(".chart[data-shows] svg.marks")
        seconds = time.perf_counter() - start
        browser.close()
    return seconds
