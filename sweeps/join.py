"""Whether there is a Ray cluster at an address, found out before Ray tries, for minutes, and may end the process."""

import socket
import subprocess
import sys
from contextlib import suppress
from functools import cache
from pathlib import Path
from threading import Thread

from em.errors import InputError

REACH_SECONDS = 5.0  # for a connection
ANSWER_SECONDS = 15.0  # for Ray's answer on it
LOCKED = 3  # exit status
ASK = f"""
import sys, ray
try:
    ray._raylet.GcsClient(address=sys.argv[1])
except ray.exceptions.AuthenticationError:
    sys.exit({LOCKED})
"""
REMEDY = "`ray start --head` on one machine starts a cluster, cluster.address=HOST:6379 names it from its nodes"


@cache  # of those that answer
def address_of(given: str) -> str:
    """HOST:PORT of the cluster that is meant, empty for none; raises InputError where none answers there."""
    if given in ("", "local"):
        return ""
    if "://" in given:
        raise InputError(f"cluster.address={given}: a driver runs on one of the nodes, without Ray's client; {REMEDY}")
    said = f"cluster.address={given}: no Ray to join"
    address = resolved(given, said)
    where = "" if address == given else f" at {address}"
    host, _, port = address.rpartition(":")
    if not (host and port.isdecimal() and 0 < int(port) < 65536):
        raise InputError(f"{said}, an address is HOST:PORT or auto; {REMEDY}")
    reason = reached(host.strip("[]"), int(port))
    if reason:
        raise InputError(f"{said}{where} ({reason}); {REMEDY}")
    try:
        words = [sys.executable, "-c", ASK, address]
        status = subprocess.run(words, capture_output=True, timeout=ANSWER_SECONDS, check=False).returncode
    except (subprocess.TimeoutExpired, ValueError):
        status = 1
    if status == LOCKED:
        token = (
            "set RAY_AUTH_MODE=token where it has the cluster's token, or start the cluster with RAY_AUTH_MODE=disabled"
        )
        raise InputError(f"{said}{where} (it asks for a token); {token}")
    if status:
        raise InputError(f"{said}{where} (what listens there does not answer as Ray); {REMEDY}")
    return address


def guard_token() -> None:
    """Ray makes itself a token and leaves it for everybody on this machine to read: who has it runs code as we do."""
    folder = Path.home() / ".ray"
    with suppress(OSError, RuntimeError):  # no home: Ray says so
        folder.mkdir(exist_ok=True)
        folder.chmod(0o700)
        (folder / "auth_token").chmod(0o600)


def resolved(given: str, said: str) -> str:
    """HOST:PORT: as given or, for `auto`, as RAY_ADDRESS, a running Ray of this machine or the file it left has it."""
    from ray._private.services import get_ray_address_from_environment

    if given != "auto":
        return given
    try:
        return get_ray_address_from_environment(given, None)
    except ConnectionError:
        raise InputError(f"{said} (none runs on this machine); {REMEDY}") from None


def reached(host: str, port: int) -> str:
    """Why there is no connection; empty where there is one."""
    reasons = ["no answer"]

    def connect() -> None:
        try:
            socket.create_connection((host, port), REACH_SECONDS).close()
            reasons[:] = [""]
        except (OSError, UnicodeError) as error:
            reasons[:] = [getattr(error, "strerror", None) or str(error)]

    thread = Thread(target=connect, daemon=True)  # looking up a name takes as long as it likes
    thread.start()
    thread.join(2 * REACH_SECONDS)
    return reasons[0]
