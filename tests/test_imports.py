"""Imports point one way, planning loads nothing heavy, and importing does nothing."""

import ast
import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
HEAVY = ["torch", "vllm", "ray", "transformers", "accelerate", "wandb", "altair", "vl_convert", "scipy"]
LIGHT = [
    *(
        "em.trial.config",
        "em.store.record",
        "em.store",
        "em.cli.compose",
        "em.cli.inputs",
        "em.store.provenance",
        "em.__main__",
        "em.rerun",
    ),
    *("sweeps.plan", "sweeps.status", "sweeps.steer", "sweeps.failures", "sweeps.power", "sweeps.decided"),
    *(
        "analysis.figures.axis",
        "analysis.figures.gain",
        "analysis.figures.heatmap",
    ),  # a launch checks its figures before it trains
]
BY_LIBRARIES = {"_RJEM_MALLOC_CONF"}  # what others set when they are imported: Polars its allocator

PROBE = """
import importlib, json, logging, os, sys
logging.disable(logging.WARNING)  # what torchao says of itself; programs have em.quiet for that
before = dict(os.environ)
for name in sys.argv[1:]:
    importlib.import_module(name)
print(json.dumps([sorted(sys.modules), {name: os.environ.get(name) for name in {*before, *os.environ}
                                        if os.environ.get(name) != before.get(name)}]))
"""


def modules(package: str) -> dict[str, Path]:
    """Name and file of every module of a package in this checkout."""
    files = {}
    for path in sorted((ROOT / package).rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        files[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return files


def imported(path: Path) -> set[str]:
    """The modules that a file imports, also within functions; names imported from a package count as its modules."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute here"
            names |= {str(node.module)} | {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def probe(names: list[str]) -> tuple[set[str], dict[str, str | None]]:
    """What is loaded, and what has changed in the environment, once a new process has imported the modules."""
    command = [sys.executable, "-c", PROBE, *names]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stderr == ""
    loaded, changed = json.loads(done.stdout)
    return set(loaded), changed


def tops(names: set[str]) -> set[str]:
    return {name.partition(".")[0] for name in names}


def test_planning_and_status_load_nothing_heavy():
    loaded, changed = probe(LIGHT)
    assert not tops(loaded) & set(HEAVY)
    assert set(changed) <= BY_LIBRARIES


def test_importing_a_module_sets_no_environment_variable_and_loads_no_engine():
    """The engines' settings are set, and vLLM is imported, where an engine is opened."""
    names = [name for name in modules("em") if not name.endswith("__main__")]
    if find_spec("triton") is None:
        names.remove("em.train.fused")  # imported where tensors are on a GPU
    assert {"em.train.trainer", "em.rollout.vllm", "em.quiet"} <= set(names)
    loaded, changed = probe(names)
    assert not tops(loaded) & {"vllm", "ray", "wandb", "altair"}
    assert set(changed) <= BY_LIBRARIES


@pytest.mark.parametrize(
    ("package", "allowed"),
    [
        ("em", {"em"}),
        ("sweeps", {"sweeps", "analysis", "em"}),
        ("analysis", {"analysis", "em"}),
        ("cluster", {"cluster", "sweeps", "em"}),
    ],
)
def test_packages_import_one_way(package, allowed):
    ours = {"em", "sweeps", "analysis", "cluster", "tests"}
    for name, path in modules(package).items():
        assert tops(imported(path)) & ours <= allowed, name


def test_em_never_imports_ray():
    files = modules("em")
    assert len(files) > 20
    for name, path in files.items():
        assert not tops(imported(path)) & {"ray", "wandb"}, name


def test_only_the_exporter_imports_wandb():
    """Not the launch, the lanes, the trainer: whatever wandb does, it does in a process of its own."""
    files = modules("em") | modules("sweeps") | modules("analysis") | modules("cluster")
    using = {name for name, path in files.items() if tops(imported(path)) & {"wandb", "wandb_workspaces"}}
    assert using == {f"sweeps.wandb.{name}" for name in ("dashboard", "export", "sync", "transaction_log")}
    outside = [name for name in files if not name.startswith("sweeps.wandb")]
    used = {used for name in outside for used in imported(files[name]) if used.startswith("sweeps.wandb")}
    assert used == {"sweeps.wandb", "sweeps.wandb.start_exporter"}
    pure = ["values", "view", "runs", "curves", "folder", "monitor"]
    loaded, _ = probe(["sweeps.launch", *(f"sweeps.wandb.{name}" for name in pure)])
    assert "wandb" not in tops(loaded)


def test_analysis_needs_no_model():
    for name, path in modules("analysis").items():
        used = {used for used in imported(path) if used.startswith("em.")}
        assert tops(imported(path)).isdisjoint({"torch", "vllm", "transformers", "ray"}), name
        assert not any(used.startswith(("em.train", "em.rollout")) for used in used), name


def test_every_module_says_what_it_is():
    for package in ("em", "sweeps", "analysis", "cluster"):
        for name, path in modules(package).items():
            tree = ast.parse(path.read_text())
            assert ast.get_docstring(tree) or not tree.body, name
