"""Waits until a Ray cluster has so many nodes: `python -m cluster.nodes HOST:PORT NODES SECONDS`.

Says how many there are in the end.
"""

import sys
import time
from importlib import import_module
from typing import Any


def alive(address: str) -> int:
    raylet: Any = import_module("ray._raylet")
    nodes = raylet.GcsClient(address=address).get_all_node_info().values()
    return sum(node.state == 0 for node in nodes)  # GcsNodeInfo.ALIVE


def main(address: str, wanted: int, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while (there := alive(address)) < wanted and time.monotonic() < deadline:
        time.sleep(0.5)
    print(f"{there} of {wanted} nodes have joined", flush=True)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), float(sys.argv[3]))
