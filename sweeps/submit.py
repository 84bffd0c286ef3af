"""Sends a sweep to a Ray cluster as one of its jobs, over its dashboard, from any machine that reaches that.

python -m sweeps.submit submit sweep=temperature cluster=kuberay store=/store    # starts it there, or resumes it
python -m sweeps.submit follow sweep=temperature      # what it says, until it ends; Ctrl-C detaches
python -m sweeps.submit status sweep=temperature
python -m sweeps.submit stop sweep=temperature        # lanes finish what they hold

RAY_API_SERVER_ADDRESS is the dashboard's address, http://127.0.0.1:8265 unless set.  A cluster that asks for a token
wants RAY_AUTH_MODE=token, and RAY_AUTH_TOKEN or RAY_AUTH_TOKEN_PATH.
"""

import asyncio
import logging
import os
import shlex
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from em.cli.command import run_command
from em.errors import InputError, first_line, require, require_known
from em.model.mirror import is_bucket
from sweeps.config import LAUNCH, Launch, with_axes

DASHBOARD, ADDRESS = "http://127.0.0.1:8265", "RAY_API_SERVER_ADDRESS"
COMMAND = ("python", "-m", "sweeps")  # of the environment that Ray was started in
SETTINGS = {
    "PYTHONUNBUFFERED": "1",  # what is said is followed
    "RAY_JOB_STOP_WAIT_TIME_S": "3600",  # for lanes to finish what they hold; else Ray kills the driver after 3 s
}


def read(words: Sequence[str]) -> Launch:
    """The config of a launch elsewhere: checked, but for the files that it names, which are there and not here."""
    spelled, composed, _ = with_axes(words)
    return LAUNCH.config(composed, spelled)


@contextmanager
def one_line() -> Iterator[None]:
    """What Ray's client raises, as an InputError that names the dashboard's address."""
    from ray.exceptions import AuthenticationError

    said = f"{ADDRESS}={os.environ.get(ADDRESS, DASHBOARD)}"
    try:
        yield
    except InputError:
        raise
    except AuthenticationError as error:
        token = "RAY_AUTH_MODE=token, and the cluster's token as RAY_AUTH_TOKEN or in the file RAY_AUTH_TOKEN_PATH"
        raise InputError(f"{said}: {first_line(error)}; set {token}") from None
    except OSError as error:
        remedy = "a dashboard answers there on the head alone; tunnel to it (docs/clusters.md), or name its address"
        raise InputError(f"{said}: {first_line(error)}; {remedy}") from None
    except (RuntimeError, ValueError) as error:
        raise InputError(f"{said}: {first_line(error)}") from None


def jobs_of(client: Any, sweep: str) -> list[Any]:
    """Its jobs on this cluster, the last one last."""
    own = [job for job in client.list_jobs() if (job.metadata or {}).get("sweep") == sweep]
    return sorted(own, key=lambda job: job.start_time or 0)


def submit(client: Any, words: Sequence[str], command: Sequence[str]) -> str:
    """The id of the new job: the sweep's name, `NAME.2` for one that resumes it, since Ray takes an id once."""
    config = read(words)
    name, place = config.sweep.name, config.store
    require(bool(config.cluster.address), "cluster.address", "", "is this machine; cluster=ray, kuberay or onprem")
    whole = place.startswith("/") or is_bucket(place)
    require(whole, "store", place, "write its whole path, as every node of the cluster has it, or a bucket's")
    jobs = jobs_of(client, name)
    if jobs and not jobs[-1].status.is_terminal():
        raise InputError(f"sweep={name}: is {said_of(jobs[-1])}; `make cluster-follow`, or `make cluster-stop` first")
    return client.submit_job(
        entrypoint="exec " + shlex.join([*command, *words]),
        submission_id=f"{name}.{len(jobs) + 1}" if jobs else name,
        metadata={"sweep": name},
        runtime_env={"env_vars": SETTINGS},
    )


def said_of(job: Any) -> str:
    return f"job {job.submission_id}, {job.status.value.lower()}"


async def print_log(client: Any, job_id: str) -> None:
    async for text in client.tail_job_logs(job_id):
        print(text, end="", flush=True)


def follow(client: Any, job: Any) -> int:
    """Print what the job says, from its beginning, until it ends; returns an exit status."""
    try:
        asyncio.run(print_log(client, job.submission_id))
    except KeyboardInterrupt:
        print(f"detached from job {job.submission_id}, which goes on; `make cluster-follow` attaches again")
        return 0
    ended = client.get_job_info(job.submission_id)
    print(said_of(ended))
    return 0 if ended.status.value == "SUCCEEDED" else 1


def main(arguments: list[str], command: Sequence[str] = COMMAND) -> None:
    action, *words = arguments or [""]
    require_known("action", action, ("submit", "follow", "status", "stop"))
    name = read(words).sweep.name  # a mistake is said here, not there
    logging.disable(logging.ERROR)  # Ray's client logs what is said here in one line
    with one_line():
        from ray.job_submission import JobSubmissionClient

        client = JobSubmissionClient(DASHBOARD)
        if action == "submit":
            print(f"submitted as job {submit(client, words, command)}; `make cluster-follow` shows what it says")
            return
        jobs = jobs_of(client, name)
        require(bool(jobs), "sweep", name, "no job of this cluster runs it; `make cluster-submit` sends it")
        if action == "follow":
            sys.exit(follow(client, jobs[-1]))
        if action == "stop" and client.stop_job(jobs[-1].submission_id):
            print(f"stopping job {jobs[-1].submission_id}: lanes finish what they hold")
        else:
            print(said_of(jobs[-1]))


if __name__ == "__main__":
    run_command(main, __doc__)
