"""The report of a sweep: what is in its folder, and what a browser makes of it."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from shutil import which
from typing import Any

import pytest

from analysis import style
from em.errors import InputError
from em.store import Store
from em.trial.trial import Trial
from sweeps import expand
from sweeps.config import Launch, compose_launch
from sweeps.report import build, main
from tests.synthetic import fill
from tests.trials import phase_of
from tests.truth import Options, Peak

SUITES = ("sum", "difference", "product", "max")
WORDS = [
    "sweep=temperature",
    "rollout.temperature=0.5,1,1.5",
    "sweep.seeds=4",
    "eval.steps=[2,5,10]",
    "sweep.figures=[{kind: axis}, {kind: steps}]",
    *("~benchmarks.bit", "~benchmarks.mixed"),
    *(f"benchmarks.{name}.limit=5" for name in SUITES),
]


def temperature(trial: Trial) -> float:
    return phase_of(trial).rollout.temperature if trial.phase else 0.0


def is_at(trial: Trial, at: float, seed: int) -> bool:
    return (temperature(trial), trial.seed) == (at, seed)


# Of the hottest cell one seed diverged, one failed, one is missing.
OPTIONS = Options(
    diverges=lambda trial: 4 if is_at(trial, 1.5, 0) else 0,
    fails=lambda trial: 2 if is_at(trial, 1.5, 1) else 0,
    is_missing=lambda trial: is_at(trial, 1.5, 2),
)


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Launch:
    return compose_launch([*WORDS, f"store={tmp_path_factory.mktemp('report')}"])


@pytest.fixture(scope="module")
def page(config: Launch) -> Path:
    store = Store(config.store)
    fill(store, config, Peak(), OPTIONS)
    return build(config, store)


@pytest.fixture(scope="module")
def text(page: Path) -> str:
    return page.read_text()


def data(text: str) -> dict[str, Any]:
    found = re.search(r'<script id="data" type="application/json">(.*?)</script>', text, re.DOTALL)
    assert found
    return json.loads(found[1])


def cell(page: Path, key: str) -> dict[str, Any]:
    written = (page.parent / "cells" / f"{key}.js").read_text()
    named, _, content = written.removeprefix("report.opened(").removesuffix(")").partition(",")
    assert json.loads(named) == key
    return json.loads(content)


def test_the_page_says_how_full_the_store_is(text: str) -> None:
    said = " ".join(re.sub(r"<[^>]+>", " ", text.partition("<nav")[0].partition("<header>")[2]).split())
    assert "recorded 84.6%" in said  # 11 of 12 trials and their base model; the failed and the missing one are not
    assert "diverged 1" in said
    assert "failed attempts 2" in said
    row = re.search(r'<th scope="row">temperature.*?</tr>', text, re.DOTALL)
    assert row
    assert re.findall(r'class="number[^>]*>([\d.]+)<', row[0])[:4] == ["9", "1", "1", "1"]  # of 12 trials
    assert "python -m sweeps sweep=temperature" in text  # what records the rest


def test_figures_are_there_with_their_numbers_by_every_metric(text: str) -> None:
    axis, steps = data(text)["figures"]
    assert (axis["name"], axis["kind"], steps["kind"]) == ("temperature", "axis", "steps")
    assert axis["metrics"] == ["average", *SUITES]
    assert [(row["cell"], row["n"]) for row in axis["rows"]] == [("0.5", 4), ("1", 4), ("1.5", 1)]
    assert [row["step"] for row in steps["rows"][:4]] == [0, 2, 5, 10]
    numbers = axis["columns"]["numbers"]
    average = [mean for mean, metric in zip(numbers["mean"], numbers["metric"], strict=True) if metric == "average"]
    by_suite = [
        [mean for mean, metric in zip(numbers["mean"], numbers["metric"], strict=True) if metric == name]
        for name in SUITES
    ]
    assert average == [pytest.approx(sum(of) / len(SUITES), abs=1e-4) for of in zip(*by_suite, strict=True)]
    assert axis["caption"][0] == "9 of 12 trials, n = 1 to 4 a cell"


def test_a_cell_has_its_seeds_and_the_best_the_median_and_the_worst_in_full(page: Path, text: str) -> None:
    axis = data(text)["figures"][0]
    found = cell(page, axis["cells"]["1"])
    scores = [seed["score"] for seed in found["seeds"]]
    assert scores == sorted(scores, reverse=True)
    assert found["trials"] == len(scores) == 4
    places = {
        name: [seed["trial_id"] for seed in found["seeds"]].index(trial) for name, trial in found["chosen"].items()
    }
    assert places == {"best": 0, "median": 2, "worst": 3}
    best = found["seeds"][0]
    assert [step for step, _ in best["accuracy"]] == [2, 5, 10]
    assert best["accuracy"][-1][1] == pytest.approx(best["score"], abs=1e-3)
    assert len(best["loss"]) == 10
    assert best["config"]["rollout.temperature"] == 1
    answers = found["shown"][best["trial_id"]]["answers"]
    assert [answer["benchmark"] for answer in answers] == list(SUITES)
    assert all(set(side) == {"text", "extracted", "correct"} for answer in answers for side in answer["sides"])
    assert {answer["step"] for answer in answers} == {10}


def test_answers_are_of_the_step_that_the_score_is_of(page: Path, config: Launch) -> None:
    """Though the trial was measured later too; of one that diverged before, the last that there are."""
    words = [word for word in WORDS if "sweep.figures" not in word]
    earlier = compose_launch(
        [*words, f"store={config.store}", "sweep.figures=[{kind: axis, step: 5}]", "sweep.name=at5"]
    )
    written = build(earlier, Store(config.store))
    cells = data(written.read_text())["figures"][0]["cells"]
    for name, outcome, step in (("1", "best", 5), ("1.5", "diverged", 2)):
        found = cell(written, cells[name])
        assert {answer["step"] for answer in found["shown"][found["chosen"][outcome]]["answers"]} == {step}


def test_what_was_lost_is_shown_with_its_reason(page: Path, text: str) -> None:
    found = cell(page, data(text)["figures"][0]["cells"]["1.5"])
    assert sorted(seed["outcome"] for seed in found["seeds"]) == ["diverged", "failed", "missing", "scored"]
    assert {*found["chosen"]} == {"best", "median", "worst", "diverged", "failed"}
    assert found["shown"][found["chosen"]["diverged"]]["error"]
    assert found["shown"][found["chosen"]["failed"]]["error"]


def test_a_report_that_is_made_again_is_the_same_and_leaves_no_cell_of_before(page: Path, config: Launch) -> None:
    stale = page.parent / "cells" / "0000.js"
    stale.write_text("report.opened('0000', {})")
    before = {path.name: path.read_bytes() for path in page.parent.rglob("*.*") if path != stale}
    build(config, Store(config.store))
    assert {path.name: path.read_bytes() for path in page.parent.rglob("*.*")} == before


def test_an_empty_store_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"holds no record of sweep temperature; run it first"):
        main([*WORDS, f"store={tmp_path}"])


def test_a_sweep_without_a_score_yet_has_a_page(tmp_path: Path) -> None:
    config = compose_launch([*WORDS, f"store={tmp_path}"])
    store = Store(config.store)
    fill(store, config, Peak(), Options(is_missing=lambda trial: trial.phase is not None))
    written = build(config, store).read_text()
    assert "No figure yet: " in written
    assert [figure["kind"] for figure in data(written)["figures"]] == ["steps"]  # of the step that all start from


def test_a_damaged_record_is_said_and_the_rest_is_shown(tmp_path: Path) -> None:
    config = compose_launch([*WORDS, f"store={tmp_path}"])
    store = Store(config.store)
    fill(store, config, Peak(), Options())
    for index in (tmp_path / "index").iterdir():
        index.unlink()
    trained = next(unit for unit in expand.units(config) if unit.trial.phase is not None)
    (tmp_path / "records" / f"{trained.id}.parquet").write_bytes(b"PAR1")
    written = build(config, store).read_text()
    assert "1 records are damaged: the next launch makes them again" in written
    assert sum(row["n"] for row in data(written)["figures"][0]["rows"]) == 11


# In a browser


CHROMIUM = which("chromium") or which("chromium-browser") or which("google-chrome")
in_a_browser = [pytest.mark.slow, pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")]


class Tab:
    """A page of the browser, and what it complained of and asked for."""

    def __init__(self, browser: Any, **options: Any) -> None:
        self.page = browser.new_page(**options)
        self.complaints: list[str] = []
        self.requests: list[str] = []
        self.page.on("console", lambda message: self.complaints.append(message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", lambda request: self.requests.append(request.url))

    def open(self, path: Path, anchor: str = "") -> Any:
        self.page.goto(path.as_uri() + anchor)
        self.page.evaluate("document.querySelector('.chart').scrollIntoView()")  # they are drawn as they come into view
        self.page.wait_for_selector(".chart[data-shows] svg.marks")
        return self.page


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield opened
        opened.close()


class TestInABrowser:
    pytestmark = in_a_browser

    @pytest.fixture
    def tab(self, browser: Any, page: Path) -> Iterator[Tab]:
        tab = Tab(browser)
        tab.open(page)
        yield tab
        tab.page.close()
        assert tab.complaints == []
        own = page.parent.as_uri()
        assert [url for url in tab.requests if not url.startswith((own, "data:", "blob:"))] == []

    def paths(self, tab: Tab) -> str:
        """What the first chart looks like."""
        return tab.page.locator(".chart").first.locator("svg.marks").inner_html()

    @pytest.mark.parametrize(("choice", "value"), [("metric", "sum"), ("statistic", "iqm"), ("band", "range")])
    def test_each_choice_changes_the_plot(self, tab: Tab, choice: str, value: str) -> None:
        before = self.paths(tab)
        tab.page.select_option(f"select[name={choice}]", value)
        tab.page.wait_for_selector(f'.chart[data-shows~="{value}"]')
        assert self.paths(tab) != before

    def test_a_chart_keeps_data_of_its_own(self, browser: Any, tmp_path: Path) -> None:
        """The intervals of the figure of gains, which are in no table of the page."""
        words = ["sweep=gain", "model.pretrain.seed=40,41,42", "sweep.seeds=2", f"store={tmp_path}"]
        config, store = compose_launch(words), Store(tmp_path)
        fill(store, config, Peak())
        tab = Tab(browser)
        rules = tab.open(build(config, store)).locator(".chart svg.marks g.mark-rule.role-mark line")
        assert [rule.get_attribute("stroke") for rule in rules.all()] == [style.BLUE] * 2
        tab.page.close()

    def test_hovering_over_a_seed_says_what_it_is(self, tab: Tab) -> None:
        tab.page.locator(".chart").first.locator(".mark-symbol path").first.hover()
        tab.page.wait_for_selector("#vg-tooltip-element.visible")
        assert "trial" in tab.page.inner_text("#vg-tooltip-element")

    def test_a_click_on_the_chart_opens_the_cell(self, tab: Tab) -> None:
        tab.page.locator(".chart").first.locator(".mark-symbol path").first.click()
        tab.page.wait_for_selector("#cell-content .trial")
        assert tab.page.inner_text("#cell-title").startswith("temperature: ")
        assert tab.page.locator("#cell-content .answers pre").count() > 0

    def test_a_cell_opens_by_the_keyboard_and_closes_again(self, tab: Tab) -> None:
        tab.page.locator("details.cells > summary").first.press("Enter")
        tab.page.locator("table.numbers button").first.press("Enter")
        tab.page.wait_for_selector("#cell-content .trial")
        assert tab.page.inner_text("#cell-title") == "temperature: 0.5"
        tab.page.keyboard.press("Escape")
        assert not tab.page.locator("#cell").is_visible()

    def test_a_link_to_a_cell_opens_it(self, tab: Tab, page: Path) -> None:
        tab.page.goto("about:blank")
        tab.open(page, "#0/1.5")
        tab.page.wait_for_selector("#cell-content .trial")
        assert "diverged" in tab.page.inner_text("#cell-content")

    def test_dark_and_light(self, tab: Tab) -> None:
        colour = "getComputedStyle(document.body).backgroundColor"
        light = tab.page.evaluate(colour)
        tab.page.click("#theme")
        assert tab.page.evaluate(colour) != light
        assert tab.page.get_attribute("html", "data-theme") == "dark"

    def test_nothing_is_wider_than_a_phone(self, browser: Any, page: Path) -> None:
        tab = Tab(browser, viewport={"width": 390, "height": 844})
        shown = tab.open(page)
        assert shown.evaluate("document.documentElement.scrollWidth") == 390
        shown.close()

    @pytest.mark.parametrize("scheme", ["light", "dark"])
    def test_axe_finds_no_serious_fault(self, browser: Any, page: Path, scheme: str) -> None:
        from axe_playwright_python.sync_playwright import Axe

        tab = Tab(browser, color_scheme=scheme, reduced_motion="reduce")
        shown = tab.open(page, "#0/1")
        shown.wait_for_selector("#cell-content .trial")
        faults = Axe().run(shown).response["violations"]
        shown.keyboard.press("Escape")
        faults += Axe().run(shown).response["violations"]
        assert [fault["id"] for fault in faults if fault["impact"] in ("serious", "critical")] == []
        shown.close()
