"""The filter of system calls: what Python and NumPy need, and nothing else.

It is a list of what is allowed.  All other calls end in ENOSYS, as on a kernel without them, so that the C library
looks for another way: so do ptrace, bpf, io_uring, keyrings, mounts, shared memory of System V and memfds.  Four calls
are allowed with some arguments only.  clone3 keeps its flags in memory, where no filter can look; without it the C
library takes clone, whose flags are checked.  A process of a foreign architecture or of the x32 ABI is killed.

The program is classic BPF, as `bwrap --seccomp` and seccomp(2) take it.
"""

import platform
import struct
from collections.abc import Sequence
from functools import cache

# name, number on x86_64, number on aarch64 ("-": it has none)
ALLOWED = """
read 0 63, write 1 64, open 2 -, openat 257 56, close 3 57, stat 4 -, fstat 5 80, lstat 6 -, newfstatat 262 79,
statx 332 291, lseek 8 62, mmap 9 222, mprotect 10 226, munmap 11 215, mremap 25 216, madvise 28 233, msync 26 227,
brk 12 214, rt_sigaction 13 134, rt_sigprocmask 14 135, rt_sigreturn 15 139, rt_sigtimedwait 128 137,
rt_sigpending 127 136, rt_sigsuspend 130 133, sigaltstack 131 132, restart_syscall 219 128, pread64 17 67,
pwrite64 18 68, readv 19 65, writev 20 66, preadv 295 69, pwritev 296 70, sendfile 40 71, access 21 -,
faccessat 269 48, faccessat2 439 439, pipe 22 -, pipe2 293 59, select 23 -, pselect6 270 72, poll 7 -, ppoll 271 73,
epoll_create 213 -, epoll_create1 291 20, epoll_ctl 233 21, epoll_wait 232 -, epoll_pwait 281 22, eventfd2 290 19,
sched_yield 24 124, dup 32 23, dup2 33 -, dup3 292 24, fcntl 72 25, flock 73 32, pause 34 -, nanosleep 35 101,
clock_nanosleep 230 115, clock_gettime 228 113, clock_getres 229 114, gettimeofday 96 169, time 201 -,
times 100 153, alarm 37 -, getitimer 36 102, setitimer 38 103, getpid 39 172, gettid 186 178, getppid 110 173,
getuid 102 174, geteuid 107 175, getgid 104 176, getegid 108 177, getresuid 118 148, getresgid 120 150,
getgroups 115 158, setuid 105 146, setgid 106 144, setgroups 116 159, getpgrp 111 -, getpgid 121 155,
setpgid 109 154, getsid 124 156, setsid 112 157, fork 57 -, vfork 58 -, execve 59 221, exit 60 93,
exit_group 231 94, wait4 61 260, waitid 247 95, kill 62 129, tkill 200 130, tgkill 234 131, fsync 74 82,
fdatasync 75 83, truncate 76 45, ftruncate 77 46, fallocate 285 47, getdents 78 -, getdents64 217 61, getcwd 79 17,
chdir 80 49, fchdir 81 50, rename 82 -, renameat 264 38, renameat2 316 276, mkdir 83 -, mkdirat 258 34, rmdir 84 -,
unlink 87 -, unlinkat 263 35, link 86 -, linkat 265 37, symlink 88 -, symlinkat 266 36, readlink 89 -,
readlinkat 267 78, chmod 90 -, fchmod 91 52, fchmodat 268 53, umask 95 166, utimensat 280 88, statfs 137 43,
fstatfs 138 44, getrlimit 97 163, setrlimit 160 164, prlimit64 302 261, getrusage 98 165, sysinfo 99 179,
uname 63 160, getrandom 318 278, arch_prctl 158 -, set_tid_address 218 96, set_robust_list 273 99, futex 202 98,
sched_getaffinity 204 123, rseq 334 293, membarrier 324 283, close_range 436 436, getcpu 309 168, connect 42 203,
bind 49 200, listen 50 201, accept 43 202, accept4 288 242, sendto 44 206, recvfrom 45 207,
recvmsg 47 212, shutdown 48 210, getsockname 51 204, getpeername 52 205, setsockopt 54 208, getsockopt 55 209
"""
SPECIAL = {"socket": (41, 198), "socketpair": (53, 199), "ioctl": (16, 29), "prctl": (157, 167), "clone": (56, 220)}
MACHINES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}  # the column, and AUDIT_ARCH_...
X32 = 0x40000000  # a bit of the call's number
AF_UNIX = 1
IOCTLS = (0x5401, 0x5413, 0x541B, 0x5421, 0x5450, 0x5451)  # TCGETS, TIOCGWINSZ, FIONREAD, FIONBIO, FIONCLEX, FIOCLEX
PRCTLS = (15, 16)  # the name of a thread
NAMESPACES = 0x7E020000  # CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET; clone has no NEWTIME

ALLOW, KILL, NOT_THERE = 0x7FFF0000, 0x80000000, 0x00050000 | 38  # SECCOMP_RET_...; ENOSYS
LOAD, EQUAL, AT_LEAST, ANY_BIT, RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
NUMBER, ARCHITECTURE, ARGUMENTS = 0, 4, 16  # offsets in struct seccomp_data


def instruction(code: int, value: int, then: int = 0, otherwise: int = 0) -> bytes:
    """One of BPF's: `then` and `otherwise` are how many to skip."""
    return struct.pack("=HBBI", code, then, otherwise, value)


def only(argument: int, values: tuple[int, ...]) -> list[bytes]:
    """Allowed if an argument has one of these values (the low word: no such value has a high one)."""
    checks = [instruction(LOAD, ARGUMENTS + 8 * argument)]
    for value in values:
        checks += [instruction(EQUAL, value, 0, 1), instruction(RETURN, ALLOW)]
    return [*checks, instruction(RETURN, NOT_THERE)]


def without(argument: int, bits: int) -> list[bytes]:
    """Allowed if an argument has none of these bits."""
    return [
        instruction(LOAD, ARGUMENTS + 8 * argument),
        instruction(ANY_BIT, bits, 1, 0),
        instruction(RETURN, ALLOW),
        instruction(RETURN, NOT_THERE),
    ]


CHECKS = {
    "socket": only(0, (AF_UNIX,)),
    "socketpair": only(0, (AF_UNIX,)),
    "ioctl": only(1, IOCTLS),
    "prctl": only(0, PRCTLS),
    "clone": without(0, NAMESPACES),
}


def search(ranges: Sequence[tuple[int, list[bytes]]]) -> list[bytes]:
    """Binary, for what is done from a number on up to the next: the kernel tries each number as it loads a filter, and
    a list that it has to walk would take it two milliseconds."""
    if len(ranges) == 1:
        return ranges[0][1]
    middle = len(ranges) // 2
    below, above = search(ranges[:middle]), search(ranges[middle:])
    return [instruction(AT_LEAST, ranges[middle][0], len(below), 0), *below, *above]


@cache
def filter_for(machine: str = platform.machine()) -> bytes | None:
    """The program for a machine; None: its numbers are not known here."""
    if machine not in MACHINES:
        return None
    column, architecture = MACHINES[machine]
    rows = [row.split() for row in ALLOWED.replace("\n", " ").split(",")]
    done = {int(row[1 + column]): [instruction(RETURN, ALLOW)] for row in rows if row[1 + column] != "-"}
    done |= {SPECIAL[name][column]: check for name, check in CHECKS.items()}
    refused = [instruction(RETURN, NOT_THERE)]
    ranges = [(0, done.get(0, refused))]
    for number in range(1, max(done) + 2):
        action = done.get(number, refused)
        if action != ranges[-1][1]:
            ranges.append((number, action))
    ranges.append((X32, [instruction(RETURN, KILL)]))
    program = [
        instruction(LOAD, ARCHITECTURE),
        instruction(EQUAL, architecture, 1, 0),
        instruction(RETURN, KILL),
        instruction(LOAD, NUMBER),
        *search(ranges),
    ]
    return b"".join(program)
