"""One rank of a group: a process that holds its share of the model, and an engine of its own.

    python -m em.train.rank FILE_DESCRIPTOR

Rank 0 is the process that speaks to trainer and evaluator (`em.train.group`).  It tells the others over their pipes
what it is about to do, and they do the same.  A rank whose pipe is closed ends at once, whatever it is at.
"""

import os
import signal
import sys
import traceback
from multiprocessing.connection import Connection
from queue import Queue
from threading import Event
from typing import Any

from em.quiet import quiet_libraries
from em.train.verbs import Done, Member, Part, listen, send


def serve(connection: Connection, messages: "Queue[Any]") -> None:
    try:
        member = Member(messages.get())
    except Exception:
        send(connection, Done(error=traceback.format_exc()))
        Event().wait()  # until rank 0, which may have failed alike, has said so
        return
    send(connection, Done())
    while True:
        verb, *arguments = messages.get()
        try:
            if verb == "stream":
                for part in member.policy.stream(*arguments):
                    send(connection, Part(*part))
                done = Done()
            else:
                done = Done(member.do(verb, *arguments))
        except Exception:
            done = Done(error=traceback.format_exc())
        send(connection, done)


def main() -> None:
    for number in (signal.SIGINT, signal.SIGTERM):  # rank 0 decides what follows from these
        signal.signal(number, signal.SIG_IGN)
    quiet_libraries()
    connection, messages = Connection(int(sys.argv[1])), Queue[Any]()
    listen(connection, messages.put, lambda: os._exit(0))
    serve(connection, messages)


if __name__ == "__main__":
    main()
