"""Hosts of a network of their own on one machine, whose power and cables can be cut.  Needs root.

A host is a set of namespaces (network, hostname, processes, mounts) with /tmp, /dev/shm and /run of its own; its first
process holds them, and with it everything on the host ends.  All hosts are plugged into one bridge, in a namespace too:
the machine sees none of it, and nothing is left when the test's process is gone.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from em.store.provenance import ROOT

PREFIX = "10.77.0"  # known in these namespaces alone
OWN = ("/tmp", "/dev/shm", "/run", "/var/spool", "/var/log")  # folders that each host has for itself
FIRST = (  # reaps, until the test's process is gone
    "import signal, sys; signal.signal(signal.SIGCHLD, signal.SIG_IGN); print(flush=True); sys.stdin.read()"
)


class Namespaces:
    """Namespaces, held by a first process that ends with this one."""

    def __init__(self, *kinds: str) -> None:
        words = ["unshare", *(f"--{kind}" for kind in kinds), "--fork", "--kill-child"]
        self.kinds = [kind for kind in kinds if kind != "mount-proc"]
        pipe, words = subprocess.PIPE, [*words, sys.executable, "-S", "-c", FIRST]
        self.holder = subprocess.Popen(words, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL)
        assert self.holder.stdout is not None
        assert self.holder.stdout.readline(), "no namespaces"  # has begun
        children = Path(f"/proc/{self.holder.pid}/task/{self.holder.pid}/children").read_text()
        self.first = int(children.split()[0])

    def command(self, *words: str) -> list[str]:
        return ["nsenter", f"--target={self.first}", *(f"--{kind}" for kind in self.kinds), "--", *words]

    def run(self, *words: str, environment: Mapping[str, str] | None = None, at: Path = ROOT) -> str:
        """What a command says that has to succeed."""
        command, settings = self.command("env", f"--chdir={at}", *words), os.environ | (environment or {})
        done = subprocess.run(command, env=settings, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{' '.join(words)}: {done.stdout}{done.stderr}"
        return done.stdout

    def end(self) -> None:
        with suppress(ProcessLookupError):
            os.kill(self.first, signal.SIGKILL)
        self.holder.communicate()


class Host(Namespaces):
    def __init__(self, bridge: Namespaces, number: int, folder: Path, names: Path) -> None:
        super().__init__("net", "uts", "pid", "mount", "mount-proc")
        self.bridge, self.name, self.address = bridge, f"h{number}", f"{PREFIX}.{number}"
        self.started: list[subprocess.Popen[str]] = []
        bridge.run(*f"ip link add {self.name} type veth peer name eth0 netns {self.first}".split())
        bridge.run(*f"ip link set {self.name} master bridge up".split())
        shared = [str(path) for path in (ROOT, folder) if any(path.is_relative_to(own) for own in OWN)]
        self.run(
            *("bash", "-euc"),
            f"hostname {self.name}; ip link set lo up; ip address add {self.address}/24 dev eth0; ip link set eth0 up\n"
            f"ip route add default via {PREFIX}.254\n"  # nowhere: by it Ray knows the address of its host
            "mount -t tmpfs kept /mnt; i=0\n"
            f"for path in {' '.join(shared)}; do i=$((i+1)); mkdir /mnt/$i; mount --bind $path /mnt/$i; done\n"
            f"for path in {' '.join(OWN)}; do mount -t tmpfs -o mode=1777 own $path; done; i=0\n"
            f"for path in {' '.join(shared)}; do i=$((i+1)); mkdir -p $path; mount --move /mnt/$i $path; done\n"
            f"mount --bind {names} /etc/hosts",
        )

    def start(
        self, *words: str, log: Path, environment: Mapping[str, str] | None = None, at: Path = ROOT
    ) -> subprocess.Popen[str]:
        """A command on this host, whose output goes to the end of `log`."""
        with log.open("a") as output:
            process = subprocess.Popen(
                self.command("env", f"--chdir={at}", *words),
                env=os.environ | (environment or {}),
                stdout=output,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                text=True,
                start_new_session=True,
            )
        self.started.append(process)
        return process

    def processes(self) -> dict[int, str]:
        """Command lines of what runs on this host but its first process, by the machine's pids."""
        found = {}
        for folder in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                here = (folder / "ns" / "pid").readlink() == self.space and int(folder.name) != self.first
                if here and (line := (folder / "cmdline").read_bytes()):  # a zombie has none
                    found[int(folder.name)] = line.replace(b"\0", b" ").decode(errors="replace").strip()
        return found

    @property
    def space(self) -> Path:
        return Path(f"/proc/{self.first}/ns/pid").readlink()

    def signal(self, number: int, *parts: str) -> None:
        """To each process whose command line has all these parts."""
        for pid, line in self.processes().items():
            if all(part in line for part in parts):
                with suppress(ProcessLookupError):
                    os.kill(pid, number)

    @property
    def root(self) -> Path:
        """Its file system, seen from this machine."""
        return Path(f"/proc/{self.first}/root")

    def unplug(self) -> None:
        self.bridge.run(*f"ip link set {self.name} down".split())

    def plug(self) -> None:
        self.bridge.run(*f"ip link set {self.name} up".split())

    def cut_power(self) -> None:
        """Every process is gone at once, and nobody is told: what they would still send does not leave the host."""
        self.unplug()
        self.end()

    def end(self) -> None:
        super().end()
        for process in self.started:
            process.wait()


@contextmanager
def network(count: int, folder: Path) -> Iterator[list[Host]]:
    """Hosts h1, h2 ... that share `folder`, besides this checkout, and know each other by name."""
    names = folder / "hosts"
    names.write_text("127.0.0.1 localhost\n" + "".join(f"{PREFIX}.{n} h{n}\n" for n in range(1, count + 1)))
    bridge = Namespaces("net")
    hosts: list[Host] = []
    try:
        bridge.run("bash", "-c", "ip link add bridge type bridge && ip link set bridge up")
        hosts += [Host(bridge, number, folder, names) for number in range(1, count + 1)]
        yield hosts
    finally:
        for host in hosts:
            host.end()
        bridge.end()


def why_not() -> str:
    """Why there can be no hosts on this machine; empty where there can."""
    if os.geteuid():
        return "hosts need root"
    words = ["unshare", "--net", "--uts", "--pid", "--mount", "--fork", "bash", "-c"]
    try:
        attempt = "ip link add b0 type bridge && ip link add v0 type veth && mount -t tmpfs none /mnt"
        done = subprocess.run([*words, attempt], capture_output=True, text=True, check=False)
    except FileNotFoundError as error:
        return f"hosts need {error.filename} (util-linux)"
    return f"no namespaces: {done.stderr.strip()}" if done.returncode else ""


def until(condition: Callable[[], object], seconds: float, said: str) -> float:
    """Wait for `condition()`, and return the seconds that it took."""
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < seconds, said
        time.sleep(0.05)
    return time.monotonic() - began
