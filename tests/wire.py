"""A wire to a server that can be cut and mended: what a network does to those who speak over it."""

import re
import socket
import threading
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from urllib.parse import urlsplit


class Wire:
    """Hands bytes on in both directions; while it is cut, nobody gets through, and connections break off.

    `requests` counts what HTTP's clients asked for, by method; a listing is a GET of a bucket.
    """

    def __init__(self, address: str) -> None:
        there = urlsplit(address)
        self.there = there.hostname or "", there.port or 80
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"http://127.0.0.1:{self.listener.getsockname()[1]}"
        self.is_cut = self.loses_answers = False
        self.open: set[socket.socket] = set()
        self.requests = Counter[str]()
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self) -> None:
        with suppress(OSError):  # closed
            while True:
                here, _ = self.listener.accept()
                if self.is_cut:
                    here.close()
                    continue
                there = socket.create_connection(self.there)
                self.open |= {here, there}
                if self.is_cut:  # since it was accepted
                    break_off([here, there])
                threading.Thread(target=self.hand_on, args=[here, there, True], daemon=True).start()
                threading.Thread(target=self.hand_on, args=[there, here, False], daemon=True).start()

    def hand_on(self, source: socket.socket, sink: socket.socket, is_request: bool) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                if is_request and (asked := re.match(rb"([A-Z]+) (\S+) HTTP/1", data)):
                    method = "LIST" if b"list-type=2" in asked[2] else asked[1].decode()
                    self.requests[method] += 1
                if self.loses_answers and not is_request:
                    break
                sink.sendall(data)
        break_off([source, sink])
        for end in (source, sink):
            self.open.discard(end)
            end.close()

    def cut(self) -> None:
        self.is_cut = True
        break_off(list(self.open))

    def mend(self) -> None:
        self.is_cut = self.loses_answers = False

    def close(self) -> None:
        self.listener.close()
        self.cut()


def break_off(ends: Iterable[socket.socket]) -> None:
    for end in ends:
        with suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)


@contextmanager
def wired(address: str) -> Iterator[Wire]:
    wire = Wire(address)
    try:
        yield wire
    finally:
        wire.close()
