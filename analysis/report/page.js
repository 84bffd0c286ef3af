// Fills in the page: charts as they come into view, the reader's choices, the trials of a cell.
"use strict";

const report = (() => {
  const { figures, config } = JSON.parse(document.getElementById("data").textContent);
  const choices = document.getElementById("choices");
  const dialog = document.getElementById("cell");
  const content = document.getElementById("cell-content");
  const views = new Map(); // by the place of a figure
  const cells = new Map(); // by key
  const wanted = { key: null, figure: null };

  const theme = () => document.documentElement.dataset.theme;
  const percent = (share) => (share == null ? "–" : `${(100 * share).toFixed(1)}%`);

  function element(name, attributes = {}, ...children) {
    const made = document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) {
      if (key in made && typeof value !== "string") made[key] = value;
      else made.setAttribute(key, value);
    }
    made.append(...children.filter((child) => child != null));
    return made;
  }

  // Charts

  function rowsOf(columns) {
    const names = Object.keys(columns);
    return columns[names[0]].map((_, place) => Object.fromEntries(names.map((name) => [name, columns[name][place]])));
  }

  async function embed(spec, data, into, name) {
    const options = {
      renderer: "svg",
      actions: { export: true, source: false, compiled: false, editor: false },
      config: config[theme()],
      tooltip: { theme: theme() },
    };
    const result = await vegaEmbed(into, { ...spec, datasets: { ...spec.datasets, ...data } }, options);
    into.querySelector("svg.marks").setAttribute("aria-hidden", "true"); // the numbers below say it in words
    into.querySelector("summary").setAttribute("aria-label", `Save ${name} as a picture`);
    return result;
  }

  async function draw(place) {
    const figure = figures[place];
    figure.data ??= Object.fromEntries(Object.entries(figure.columns).map(([name, of]) => [name, rowsOf(of)]));
    const into = document.querySelector(`.chart[data-figure="${place}"]`);
    views.get(place)?.finalize();
    const result = await embed(figure.spec, figure.data, into, figure.name);
    result.view.addEventListener("click", (_, item) => {
      const cell = item?.datum?.cell ?? item?.datum?.datum?.cell;
      if (cell in figure.cells) open(place, cell);
    });
    views.set(place, result);
    await choose(place);
  }

  async function choose(place) {
    const figure = figures[place];
    const { view } = views.get(place);
    const chosen = Object.fromEntries(new FormData(choices));
    const own = figure.metrics.includes(chosen.metric);
    const only = document.getElementById(`figure-${place}`).querySelector(".only");
    only.hidden = own;
    only.textContent = own ? "" : `Not by ${chosen.metric}: this shows ${figure.metrics[0]}.`;
    view.signal("metric", own ? chosen.metric : figure.metrics[0]);
    view.signal("statistic", chosen.statistic);
    view.signal("band", chosen.band);
    await view.runAsync();
    document.querySelector(`.chart[data-figure="${place}"]`).dataset.shows = Object.values(chosen).join(" ");
  }

  // The numbers below a figure: for the keyboard, and where a picture does not help

  function numbers(place) {
    const figure = figures[place];
    const table = document.querySelector(`table.numbers[data-figure="${place}"]`);
    if (table.rows.length) return;
    const names = Object.keys(figure.rows[0] ?? {});
    const shares = ["mean", "low", "high", "iqm"];
    const head = element("tr", {}, ...names.map((name) => element("th", name === "cell" ? {} : { class: "number" }, name)));
    table.append(element("thead", {}, head), element("tbody"));
    for (const row of figure.rows) {
      const opens = element("button", { type: "button" }, row.cell);
      opens.addEventListener("click", () => open(place, row.cell));
      const rest = names.filter((name) => name !== "cell");
      const values = rest.map((name) => (shares.includes(name) ? percent(row[name]) : String(row[name] ?? "–")));
      table.tBodies[0].append(
        element("tr", {}, element("td", {}, opens), ...values.map((value) => element("td", { class: "number" }, value))),
      );
    }
  }

  // The trials of a cell

  function open(place, cell) {
    const key = figures[place].cells[cell];
    Object.assign(wanted, { key, figure: figures[place] });
    document.getElementById("cell-title").textContent = `${figures[place].name}: ${cell}`;
    content.replaceChildren(element("p", { class: "lead" }, "Loading …"));
    if (!dialog.open) dialog.showModal();
    history.replaceState(null, "", `#${place}/${encodeURIComponent(cell)}`);
    if (cells.has(key)) return show(cells.get(key));
    const script = element("script", { src: `cells/${key}.js` });
    script.addEventListener("error", () => content.replaceChildren(element("p", { class: "note" }, `cells/${key}.js is not beside this page.`)));
    document.head.append(script);
  }

  function opened(key, cell) {
    cells.set(key, cell);
    if (key === wanted.key) show(cell);
  }

  function show(cell) {
    const listed = cell.seeds.length < cell.trials ? `${cell.seeds.length} of ${cell.trials} trials, evenly by score` : `${cell.trials} trials`;
    const body = element("tbody");
    const why = Object.fromEntries(Object.entries(cell.chosen).map(([name, trial]) => [trial, name]));
    for (const seed of cell.seeds) {
      const values = [seed.seed, percent(seed.score), seed.outcome, why[seed.trial_id] ?? "", seed.made?.node ?? ""];
      const cells = values.map((value, at) => element("td", at < 2 ? { class: "number" } : {}, String(value ?? "–")));
      body.append(element("tr", {}, ...cells, element("td", {}, element("code", {}, seed.trial_id))));
    }
    const names = ["seed", "score", "outcome", "", "node", "trial"];
    const head = element("tr", {}, ...names.map((name, at) => element("th", at < 2 ? { class: "number" } : {}, name)));
    const curves = element("div", { class: "chart", role: "group", "aria-label": "Score and loss, step by step" });
    const table = element("table", {}, element("thead", {}, head), body);
    const wide = element("div", { class: "wide", tabindex: "0", role: "region", "aria-label": "Trials" }, table);
    content.replaceChildren(
      element("p", { class: "lead" }, `${listed}; best, median and worst in full below`),
      curves,
      ...Object.entries(cell.chosen).map(([name, trial]) => detail(name, cell, trial)),
      element("details", {}, element("summary", {}, "All trials"), wide),
    );
    drawCurves(cell, why, curves);
  }

  function drawCurves(cell, why, into) {
    const rows = [];
    for (const seed of cell.seeds) {
      for (const name of ["accuracy", "loss"]) {
        for (const [step, value] of seed[name] ?? []) {
          rows.push({ name, step, value, trial: seed.trial_id, seed: seed.seed, shown: why[seed.trial_id] ?? "other" });
        }
      }
    }
    if (!rows.length) return into.remove();
    const colour = { domain: ["best", "median", "worst", "diverged", "failed", "other"], range: ["#009E73", "#0072B2", "#D55E00", "#CC79A7", "#E69F00", "#9AA3AA"] };
    const panel = (name, title, format) => ({
      width: 320,
      height: 170,
      transform: [{ filter: `datum.name == '${name}'` }],
      mark: { type: "line", point: { size: 12 } },
      encoding: {
        x: { field: "step", type: "quantitative", title: "optimiser step" },
        y: { field: "value", type: "quantitative", title, axis: format ? { format } : {}, scale: { zero: false } },
        detail: { field: "trial" },
        color: { field: "shown", scale: colour },
        opacity: { condition: { test: "datum.shown == 'other'", value: 0.3 }, value: 1 },
        tooltip: [{ field: "seed" }, { field: "step" }, { field: "value", format: ".4~g" }, { field: "trial" }],
      },
    });
    const spec = {
      $schema: "https://vega.github.io/schema/vega-lite/v6.json",
      data: { name: "curves" },
      hconcat: [panel("accuracy", "accuracy", "~%"), panel("loss", "loss, nats")],
    };
    embed(spec, { curves: rows }, into, "the curves");
  }

  function detail(name, cell, trial) {
    const seed = cell.seeds.find((one) => one.trial_id === trial);
    const { answers, error } = cell.shown[trial];
    const made = Object.entries(seed.made ?? {}).map(([key, value]) => `${key} ${value}`).join(", ");
    const config = Object.entries(seed.config ?? {}).map(([key, value]) => `${key}=${value}`).join("\n");
    const sides = answers.flatMap((answer) =>
      answer.sides.map((side, at) => said(`${answer.benchmark}, ${at ? "base model" : `after step ${answer.step}`}`, side)),
    );
    return element(
      "section",
      { class: "trial" },
      element("h3", {}, `${name}: seed ${seed.seed}, ${percent(seed.score)}`),
      error && element("p", { class: "note" }, error),
      element("p", { class: "grade" }, made),
      sides.length ? element("div", { class: "answers" }, ...sides) : null,
      element("details", {}, element("summary", {}, "Config"), element("pre", {}, config)),
      element("p", { class: "grade" }, element("code", {}, `make show TRIAL=${trial}`)),
    );
  }

  function said(heading, side) {
    const grade = side?.correct == null ? "no grade" : side.correct ? "✓ right" : "✗ wrong";
    const took = side?.extracted == null ? "no answer found" : `took “${side.extracted}”`;
    return element(
      "div",
      {},
      element("strong", {}, heading),
      element("pre", { tabindex: "0" }, side?.text ?? "text not kept (eval.texts)"),
      element("span", { class: "grade" }, side ? `${grade}, ${took}` : "not recorded"),
    );
  }

  // Light and dark

  function dress(name) {
    document.documentElement.dataset.theme = name;
    const button = document.getElementById("theme");
    button.setAttribute("aria-pressed", String(name === "dark"));
    button.textContent = name === "dark" ? "Light" : "Dark";
  }

  // Start

  dress(matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");
  document.getElementById("theme").addEventListener("click", () => {
    dress(theme() === "dark" ? "light" : "dark");
    [...views.keys()].forEach(draw);
  });
  choices.addEventListener("change", () => [...views.keys()].forEach(choose));
  const seen = new IntersectionObserver(
    (entries) =>
      entries.filter((entry) => entry.isIntersecting).forEach((entry) => {
        seen.unobserve(entry.target);
        draw(Number(entry.target.dataset.figure));
      }),
    { rootMargin: "600px" },
  );
  document.querySelectorAll("article.figure .chart").forEach((chart) => seen.observe(chart));
  document.querySelectorAll("article.figure details.cells").forEach((details, place) =>
    details.addEventListener("toggle", () => numbers(place)),
  );
  dialog.addEventListener("close", () => history.replaceState(null, "", location.pathname));
  const [, place, cell] = location.hash.match(/^#(\d+)\/(.+)$/) ?? [];
  if (figures[place]) open(Number(place), decodeURIComponent(cell));

  return { opened, views };
})();
