"""The filter of system calls: which are refused, in both modes, and what it is made of."""

import ctypes
import json
import os
import platform
import uuid
from collections.abc import Iterator

import pytest

from em.evaluation import sandbox
from em.evaluation.sandbox import Verdict, seccomp
from tests.evaluation.sandboxing import as_nobody, needs_sandbox

KEYCTL, ADD_KEY, READ, CLEAR = 250, 248, 11, 7  # on x86_64
SESSION = -3  # the session keyring

x86_64 = pytest.mark.skipif(platform.machine() != "x86_64", reason="numbers of x86_64")

CALLS = """
import ctypes, errno, mmap, os
libc = ctypes.CDLL(None, use_errno=True)
def call(number, *arguments):
    result = libc.syscall(number, *[ctypes.c_long(each) for each in arguments])
    return "done" if result >= 0 else errno.errorcode[ctypes.get_errno()]
"""
# name: number and arguments, with which it succeeds, or fails otherwise than by ENOSYS, where it is allowed
REFUSED = {
    "keyctl, to join a session": (250, 1, 0),
    "keyctl, to look": (250, 6, -3, 0, 0),
    "add_key": (248, 0, 0, 0, 0, -3),
    "request_key": (249, 0, 0, 0, 0),
    "ptrace": (101, 0, 0, 0, 0),
    "process_vm_readv": (310, 1, 0, 0, 0, 0, 0),
    "process_vm_writev": (311, 1, 0, 0, 0, 0, 0),
    "kcmp": (312, 1, 1, 0, 0, 0),
    "pidfd_open": (434, 1, 0),
    "pidfd_getfd": (438, 0, 0, 0),
    "bpf": (321, 0, 0, 0),
    "perf_event_open": (298, 0, 0, -1, -1, 0),
    "io_uring_setup": (425, 1, 0),
    "userfaultfd": (323, 1),
    "memfd_create": (319, 0, 0),
    "memfd_secret": (447, 0),
    "shmget": (29, 0, 1 << 20, 0o1600),
    "msgget": (68, 0, 0o1600),
    "semget": (64, 0, 1, 0o1600),
    "mq_open": (240, 0, 0, 0, 0),
    "unshare, users": (272, 0x10000000),
    "unshare, mounts": (272, 0x20000),
    "setns": (308, 0, 0),
    "clone, users": (56, 0x10000000 | 17, 0, 0, 0, 0),
    "clone, a network": (56, 0x40000000 | 17, 0, 0, 0, 0),
    "clone, a high word": (56, (1 << 32) | 0x10000000 | 17, 0, 0, 0, 0),
    "clone3": (435, 0, 0),
    "mount": (165, 0, 0, 0, 0, 0),
    "umount": (166, 0, 0),
    "pivot_root": (155, 0, 0),
    "chroot": (161, 0),
    "open_tree": (428, -1, 0, 0),
    "move_mount": (429, -1, 0, -1, 0, 0),
    "fsopen": (430, 0, 0),
    "mount_setattr": (442, -1, 0, 0, 0, 0),
    "open_by_handle_at": (304, -1, 0, 0),
    "fanotify_init": (300, 0, 0),
    "kexec_load": (246, 0, 0, 0, 0),
    "init_module": (175, 0, 0, 0),
    "finit_module": (313, -1, 0, 0),
    "iopl": (172, 0),
    "modify_ldt": (154, 0, 0, 0),
    "personality": (135, 0xFFFFFFFF),
    "syslog": (103, 10, 0, 0),
    "reboot": (169, 0, 0, 0, 0),
    "swapon": (167, 0, 0),
    "sethostname": (170, 0, 0),
    "settimeofday": (164, 0, 0),
    "acct": (163, 0),
    "quotactl": (179, 0, 0, 0, 0),
    "mlockall": (151, 4),
    "mbind": (237, 0, 0, 0, 0, 0, 0),
    "vmsplice": (278, 0, 0, 0, 0),
    "prctl, seccomp": (157, 22, 0, 0, 0, 0),
    "prctl, a subreaper": (157, 36, 1, 0, 0, 0),
    "ioctl, TIOCSTI": (16, 0, 0x5412, 0),
    "socket, AF_INET": (41, 2, 1, 0),
    "socket, AF_INET6": (41, 10, 1, 0),
    "socket, AF_NETLINK": (41, 16, 3, 0),
    "socket, AF_PACKET": (41, 17, 3, 0),
    "socket, AF_ALG": (41, 38, 5, 0),
    "socket, AF_VSOCK": (41, 40, 1, 0),
    "socket, AF_XDP": (41, 44, 3, 0),
    "socketpair, AF_TIPC": (53, 30, 1, 0, 0),
}
PROGRAM = f"{CALLS}\nfound = {{name: call(*each) for name, each in {REFUSED!r}.items()}}"
TESTS = "assert found == dict.fromkeys(found, 'ENOSYS'), found\nassert len(found) == " + str(len(REFUSED))

UNPRIVILEGED = f"""
import json
from em.evaluation import sandbox
verdict = sandbox.run({PROGRAM!r}, {TESTS!r})
print(json.dumps([verdict.outcome, verdict.detail]))
"""


@needs_sandbox
@x86_64
def test_calls_that_are_refused():
    assert sandbox.run(PROGRAM, TESTS) == Verdict("passed")


@needs_sandbox
@x86_64
def test_calls_that_are_refused_to_a_user_without_privileges():
    assert as_nobody(UNPRIVILEGED) == ["passed", ""]


@needs_sandbox
@x86_64
def test_a_process_of_the_x32_abi_is_killed():
    program = CALLS + "call(0x40000000 + 39)"
    assert sandbox.run(program, "") == Verdict("killed", "SIGSYS")


@pytest.fixture
def host_key() -> Iterator[tuple[ctypes.CDLL, int, bytes]]:
    """A key in this thread's session keyring, which the sandbox would inherit."""
    libc = ctypes.CDLL(None, use_errno=True)
    secret = uuid.uuid4().hex.encode()
    key = libc.syscall(ADD_KEY, b"user", b"em-sandbox-test", secret, len(secret), SESSION)
    if key < 0:
        pytest.skip(f"no keys here: {os.strerror(ctypes.get_errno())}")
    yield libc, key, secret
    libc.syscall(KEYCTL, 9, key, SESSION)  # unlink


@needs_sandbox
@x86_64
def test_a_key_of_the_host_is_neither_seen_nor_changed(host_key: tuple[ctypes.CDLL, int, bytes]):
    libc, key, secret = host_key
    program = f"""{CALLS}
buffer = ctypes.create_string_buffer(200)
found = [call({KEYCTL}, {READ}, {key}, ctypes.addressof(buffer), 200), call({KEYCTL}, {CLEAR}, {SESSION})]
found += [call({KEYCTL}, 2, {key}, ctypes.addressof(buffer), 5), call({KEYCTL}, 3, {key}), buffer.value]
try: found.append(open("/proc/keys").read())
except OSError: pass
"""
    assert sandbox.run(program, "assert found == ['ENOSYS'] * 4 + [b''], found") == Verdict("passed")
    buffer = ctypes.create_string_buffer(200)
    assert libc.syscall(KEYCTL, READ, key, buffer, 200) == len(secret)
    assert buffer.value == secret


@needs_sandbox
def test_what_python_needs_is_allowed():
    program = """
import asyncio, multiprocessing, os, socket, subprocess, sys, tempfile, threading
def squares(): return multiprocessing.get_context("fork").Pool(2).map(abs, [-1, -2])
def child(): return subprocess.run([sys.executable, "-S", "-c", "print(7)"], capture_output=True).stdout
def file():
    with tempfile.TemporaryFile() as made: return made.write(b"xy")
def pair(): return len(socket.socketpair())
async def soon():
    await asyncio.sleep(0.001)
    return 3
def loop(): return asyncio.run(soon())
def thread():
    seen = []
    made = threading.Thread(target=seen.append, args=[1], name="x")
    made.start()
    made.join()
    return seen
"""
    tests = "assert squares() == [1, 2] and child() == b'7\\n' and file() == 2\nassert pair() == 2 and loop() == 3\n"
    assert sandbox.run(program, tests + "assert thread() == [1]") == Verdict("passed")


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_the_filter_is_a_program_that_ends_in_a_refusal(machine: str):
    program = seccomp.filter_for(machine)
    assert program is not None
    count, rest = divmod(len(program), 8)
    assert rest == 0
    assert 100 < count < 4096  # BPF_MAXINSNS
    codes = [int.from_bytes(program[8 * place : 8 * place + 2], "little") for place in range(count)]
    assert codes[-1] == seccomp.RETURN
    for place, code in enumerate(codes):  # no jump leads past the end
        then, otherwise = program[8 * place + 2], program[8 * place + 3]
        assert code in (seccomp.LOAD, seccomp.RETURN) or place + 1 + max(then, otherwise) < count
    assert seccomp.filter_for("riscv64") is None


def test_no_call_has_two_names():
    rows = [row.split() for row in seccomp.ALLOWED.replace("\n", " ").split(",")]
    for column in (1, 2):
        numbers = [row[column] for row in rows if row[column] != "-"]
        numbers += [str(pair[column - 1]) for pair in seccomp.SPECIAL.values()]
        assert len(numbers) == len(set(numbers)), json.dumps(numbers)
