"""What figures and report of 13,440 trials cost, each measured after 50 steps on 4 benchmarks: 2.7 million scores.

The store is filled with synthetic records; then the commands are timed from outside.  The page is opened where there is
a Chromium.
"""

import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from shutil import which

from bench.processes import command_seconds, seconds_and_peak_mib
from bench.rows import Row, at_most
from tests.synthetic import TRIALS, grid

SECONDS, MIB = 15, 2048
REPORT_SECONDS, OPENED_SECONDS, PAGE_MB = 20, 3, 15
CHROMIUM = which("chromium") or which("chromium-browser") or which("google-chrome")


def rows(folder: Path, trials: int = TRIALS) -> Iterator[Row]:
    store, environment = folder / "results", os.environ | {"XDG_CACHE_HOME": str(folder / "cache")}
    command_seconds(sys.executable, "-m", "tests.synthetic", str(store), str(trials), environment=environment)
    words, share = grid(store, trials), trials / TRIALS
    for name, module, limit in (("figures", "sweeps.figures", SECONDS), ("report", "sweeps.report", REPORT_SECONDS)):
        seconds, peak_mib = seconds_and_peak_mib(sys.executable, "-m", module, *words, environment=environment)
        yield Row(f"{name} of {trials} trials", seconds, "s", at_most(limit * max(1, share)))
        yield Row(f"{name}: the most memory meanwhile", peak_mib, "MiB", at_most(MIB * max(1, share)))
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
