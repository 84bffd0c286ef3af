"""Every line of shell of the project: files, the image's steps, what Ray's launcher runs."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from dockerfile_parse import DockerfileParser

from em.store.provenance import ROOT

SHELLCHECK = shutil.which("shellcheck", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")


def files(*options: str) -> list[str]:
    """Those of git; `-o` adds those that are new."""
    command = ["git", "ls-files", "-c", "--exclude-standard", *options]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()


def is_shell(path: Path) -> bool:
    if not path.is_file() or path.suffix not in ("", ".sh", ".sbatch", ".bash"):
        return False
    with path.open("rb") as file:
        return path.suffix == ".sh" or b"sh" in file.readline(80).partition(b"#!")[2]


def scripts() -> Iterator[tuple[str, str]]:
    """Name and text of each."""
    for name in files("-o"):
        if is_shell(ROOT / name):
            yield name, (ROOT / name).read_text()
    for count, step in enumerate(image().structure):
        if step["instruction"] == "RUN":
            yield f"cluster/Dockerfile-{count}", f"#!/bin/bash\n{step['value']}\n"
    for key, value in yaml.safe_load((ROOT / "cluster" / "onprem.yaml").read_text()).items():
        if key.endswith("_commands"):
            yield f"cluster/onprem.yaml-{key}", "\n".join(["#!/bin/bash", *value])


def image() -> DockerfileParser:
    return DockerfileParser(path=str(ROOT / "cluster" / "Dockerfile"), cache_content=True)


def test_all_of_it_is_found():
    names = {name for name, _ in scripts()}
    assert {".ci/run", "cluster/setup.sh", "cluster/onprem.yaml-head_start_ray_commands"} <= names
    assert sum(name.startswith("cluster/Dockerfile-") for name in names) == 3


@pytest.mark.parametrize(("name", "text"), list(scripts()), ids=[name for name, _ in scripts()])
def test_shell_is_well_formed(name, text):
    subprocess.run(["bash", "-n"], input=text, text=True, check=True)
    assert SHELLCHECK, "shellcheck is missing: make setup"
    command = [SHELLCHECK, "--shell=bash", "--severity=info", "-"]
    done = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{name}\n{done.stdout}"


def test_a_mistake_is_found():
    assert SHELLCHECK
    mistake = "#!/bin/bash\nrm -rf $1/cache\n"
    assert subprocess.run([SHELLCHECK, "-"], input=mistake, capture_output=True, text=True, check=False).returncode == 1


def test_the_image_is_the_same_environment_and_runs_without_root():
    steps = [(step["instruction"], step["value"]) for step in image().structure if step["instruction"] != "COMMENT"]
    assert image().baseimage == "python:3.11-slim-bookworm"
    assert [value for name, value in steps if name == "ARG"] == ["PROFILE=gpu"]
    assert [value for name, value in steps if name == "USER"] == ["1000:1000"]
    setup = next(place for place, (name, value) in enumerate(steps) if "cluster/setup.sh" in value)
    assert ("USER", "1000:1000") in steps[:setup]
    assert ("COPY", "--chown=1000:1000 . .") in steps[:setup]


def test_the_image_holds_all_of_git_and_nothing_else():
    ignored = [
        line for line in (ROOT / "cluster/Dockerfile.dockerignore").read_text().splitlines() if not line.startswith("#")
    ]
    left_out = [name for name in [*files(), ".git"] if any(matches(Path(name), pattern) for pattern in ignored)]
    assert left_out == []
    folders = [line.strip("/") for line in (ROOT / ".gitignore").read_text().splitlines() if line]
    assert sorted(folders) == sorted(pattern.removeprefix("**/") for pattern in ignored)


def matches(path: Path, pattern: str) -> bool:
    """Docker's: a pattern starts at the root, and `**/` stands for any folders."""
    places = [path, *path.parents]
    if pattern.startswith("**/"):
        return pattern[3:] in path.parts
    return any(place.match(pattern) and len(place.parts) == 1 for place in places)
