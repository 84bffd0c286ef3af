"""A PostgreSQL server of its own in a folder, for tests."""

import os
import pwd
import shutil
import socket
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

USER = "postgres"  # that Debian's package makes: the server refuses to run as root
PASSWORD = "a secret"


def programs() -> Path | None:
    """The folder of the server's programs; None where none is installed."""
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    found = shutil.which("initdb")
    return folders[-1] if folders else Path(found).parent if found else None


@contextmanager
def server(folder: Path) -> Iterator[str]:
    """A URL of its database, as SQLAlchemy takes it; PASSWORD is in the environment, as PGPASSWORD."""
    there = programs()
    assert there is not None
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    data, secret, own = folder / "postgres", folder / "secret", dict[str, Any]()
    data.mkdir()
    secret.write_text(PASSWORD)
    if os.geteuid() == 0:
        own = {"user": USER, "group": pwd.getpwnam(USER).pw_gid, "extra_groups": []}
        for path in (data, secret):
            shutil.chown(path, USER)
        for parent in [folder, *folder.parents]:
            if parent.stat().st_uid == 0 and not parent.stat().st_mode & 0o001:
                parent.chmod(parent.stat().st_mode | 0o011)  # the server's user has to pass
    words = ["-D", data, "-U", "em", "-A", "scram-sha-256", f"--pwfile={secret}"]
    run([there / "initdb", *words, "--no-sync"], own)
    options = f"-p {port} -k {data} -c listen_addresses=127.0.0.1 -c fsync=off"
    run([there / "pg_ctl", "-D", data, "-w", "-o", options, "-l", data / "log", "start"], own)
    try:
        yield f"postgresql+psycopg://em@127.0.0.1:{port}/postgres"
    finally:
        run([there / "pg_ctl", "-D", data, "-m", "immediate", "stop"], own)


def run(words: Sequence[str | Path], own: dict[str, Any]) -> None:
    subprocess.run(words, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd="/", timeout=120, **own)
