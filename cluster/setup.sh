#!/usr/bin/env bash
# Builds .venv from the exact versions in cluster/constraints-*.txt.
# `make` calls it; it may be interrupted and run again.
#   PROFILE=auto|cpu|gpu   auto (the default) is gpu where nvidia-smi answers
#   WITHOUT_GPU=yes        PROFILE=gpu on a machine that has none, as where an image is built (cluster/Dockerfile)
#   PYTHON=/path/python3   the interpreter to use; by default the first of python3, python3.13 ... that fits
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

CPU_INDEX=https://download.pytorch.org/whl/cpu

die() {
    printf 'setup: %s\n' "$@" >&2
    exit 1
}

step() { printf '[%s/5] %s\n' "$1" "$2"; }

# One warning per package about sources that lack it says nothing: errors only.  Bytecode is compiled for what gets
# imported, not for all 29,000 files: half the time of the installation.
pip_install() { .venv/bin/python -m pip --disable-pip-version-check install -qq --no-deps --no-compile "$@"; }

find_python() {
    local candidate version found=""
    for candidate in ${PYTHON:-python3 python3.13 python3.12 python3.11}; do
        version=$("$candidate" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null) || continue
        case $version in
            3.11 | 3.12 | 3.13)
                if "$candidate" -c 'import ensurepip, venv' 2>/dev/null; then
                    echo "$candidate"
                    return
                fi
                found+="${found:+, }$candidate is $version without venv (Debian: apt install python$version-venv)" ;;
            *) found+="${found:+, }$candidate is $version" ;;
        esac
    done
    die "needs Python 3.11, 3.12 or 3.13; found: ${found:-none}." \
        "Install one of them, or name it: make setup PYTHON=/path/to/python3.11"
}

# Only the CPU build will do here: the CUDA build is several GB and is never downloaded.
install_cpu_torch() {
    local errors
    errors=$(pip_install "torch==$torch" 2>&1) || pip_install --index-url "$CPU_INDEX" "torch==$torch" || {
        printf '%s\n' "$errors" >&2
        die "no CPU build of PyTorch $torch for $version on the default index, nor on $CPU_INDEX (messages above)"
    }
}

profile=${PROFILE:-auto}
if [ "$profile" = auto ]; then
    if nvidia-smi -L >/dev/null 2>&1; then profile=gpu; else profile=cpu; fi
fi
lock=cluster/constraints-$profile.txt
[ -f "$lock" ] || die "PROFILE=$profile is not one of auto, cpu, gpu"

# One set-up at a time: whoever waited for another may find the work done.
exec 9<cluster/setup.sh
if command -v flock >/dev/null; then flock 9; fi
ready=.venv/ready-$profile
if [ -f "$ready" ] && [ -z "$(find pyproject.toml cluster/setup.sh "$lock" -newer "$ready")" ]; then
    touch .venv/ready-auto "$ready"
    exit
fi

# The stamps go first and come back last, so that an interrupted set-up is never taken for a finished one.
reuse=no
if [ -f "$ready" ] && .venv/bin/python -c '' 2>/dev/null; then reuse=yes; fi
rm -f .venv/ready-*
if [ "$reuse" = yes ]; then
    version=$(.venv/bin/python --version)
    step 1 "$version, $profile profile: bringing .venv up to date"
else
    python=$(find_python)
    version=$("$python" --version)
    step 1 "$version, $profile profile: new .venv"
    rm -rf .venv
    "$python" -m venv .venv
fi
pip_install -c "$lock" pip setuptools

torch=$(sed -n 's/^torch==//p' "$lock")
if [ "$profile" = cpu ]; then
    step 2 "PyTorch $torch, CPU build (0.2 GB)"
    install_cpu_torch
else
    step 2 "PyTorch $torch, CUDA build"
    pip_install "torch==$torch"
fi

step 3 "vLLM, Ray, Transformers and the rest: $(grep -c '==' "$lock") packages"
pip_install --no-build-isolation -r "$lock"

step 4 "this project, editable"
pip_install --no-build-isolation -e .
unlocked=$(.venv/bin/python -m pip check 2>/dev/null | grep '^one-shot-em') || true
[ -z "$unlocked" ] || die "$unlocked" "pyproject.toml and $lock disagree: add the exact version to $lock"

step 5 "checking what was installed"
unset PYTHONDONTWRITEBYTECODE  # these imports also compile what every later start imports
.venv/bin/python - "$profile" <<'PYTHON'
import os, sys

os.environ["VLLM_LOGGING_LEVEL"] = "ERROR"
import torch

if sys.argv[1] == "cpu" and torch.version.cuda is not None:
    sys.exit(f"setup: torch {torch.__version__} is a CUDA build; remove .venv and set up again")
if sys.argv[1] == "gpu" and not os.environ.get("WITHOUT_GPU") and not torch.cuda.is_available():
    sys.exit(
        f"setup: torch {torch.__version__} sees no GPU (see `nvidia-smi`: its driver must support "
        f"CUDA {torch.version.cuda}). Update the driver, or: make setup PROFILE=cpu"
    )
import altair, hydra, polars, ray.tune, scipy.stats, vl_convert  # noqa: E401
import transformers.models.qwen2.modeling_qwen2
import vllm.entrypoints.llm

print("     ", *(f"{module.__name__} {module.__version__}" for module in (torch, vllm, transformers, ray)), sep="  ")
PYTHON
touch .venv/ready-auto "$ready"
echo "Ready: .venv ($profile), $SECONDS s"
