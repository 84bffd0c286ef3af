"""Slow nodes are named, and a GPU that fails again and again gets no more work."""

import os
import random
import sys
from pathlib import Path

import pytest

from em.store import Store
from em.store.record import Status
from sweeps.health import BROKEN, KNOWN, LAST, Health, Running
from sweeps.protocol import Lease, Order, Result, is_of_device
from sweeps.queue import REPLACED_SECONDS, Queue
from tests.processes import finished, started
from tests.sweeps.test_queue import Clock, leased, queue_of, units

ECC = Result(Status.failed, error="RuntimeError: CUDA error: uncorrectable ECC error encountered", on_device=True)


def health(**nodes: list[float]) -> Health:
    """Of one model, seconds of units in their order by node."""
    made = Health()
    for node, taken in nodes.items():
        for seconds in taken:
            made.took("m", node, seconds)
    return made


def test_a_node_at_a_tenth_of_the_speed_is_named() -> None:
    assert health(a=[2.0] * 3, b=[2.2] * 3, c=[20.0] * 3).slow([]) == {"c": pytest.approx(20.0 / 2.1)}
    assert health(a=[2.0] * 3, b=[20.0] * 3).slow([]) == {"b": pytest.approx(10.0)}


def test_it_is_named_before_it_has_finished_anything() -> None:
    made = health(a=[9.0, 2.0, 2.0], b=[9.0, 2.0, 2.0])  # each began by loading
    assert made.slow([Running("m", "c", 9.0)]) == {}  # which c may still be at
    assert made.slow([Running("m", "c", 8.0), Running("m", "c", 9.5)]) == {"c": pytest.approx(4.75)}
    assert made.slow([Running("other", "c", 100.0)]) == {}  # of another model nothing is known


def test_a_node_that_becomes_slow_and_one_that_recovers() -> None:
    made = health(a=[2.0] * LAST, b=[2.0] * LAST)
    for _ in range(LAST // 2 + 1):
        made.took("m", "b", 20.0)
    assert made.slow([]) == {"b": pytest.approx(10.0)}
    for _ in range(LAST):
        made.took("m", "b", 2.0)
    assert made.slow([]) == {}


def test_chance_two_kinds_of_gpu_and_larger_models_name_nobody() -> None:
    rng, made = random.Random(0), Health()
    for _ in range(300):
        for node, speed in (("a", 1.0), ("b", 1.0), ("old", 2.5)):
            for model, seconds in (("small", 2.0), ("large", 200.0)):
                made.took(model, node, seconds * speed * rng.lognormvariate(0, 0.3))
        assert made.slow([]) == {}


def test_few_units_say_nothing() -> None:
    assert health(a=[2.0] * KNOWN, b=[20.0] * (KNOWN - 1)).slow([]) == {}
    assert health(a=[20.0] * KNOWN).slow([Running("m", "a", 1e6)]) == {}  # nor one node alone


def test_the_queue_tells_nodes_by_what_their_lanes_do() -> None:
    clock = Clock()
    queue = queue_of(units(30), clock=clock)
    for lane, node in enumerate(("a", "a", "b", "slow")):
        queue.join(str(lane), node)
    held = {lane: leased(queue, lane) for lane in "0123"}
    for turn in range(KNOWN):
        clock.now += 2.0
        for lane in "012":
            queue.finish(lane, held[lane].id, Result(Status.done, 2.0))
            held[lane] = leased(queue, lane)
        assert queue.snapshot().slow == ({"slow": 3.0} if turn == 3 else {})
    clock.now += 2.5
    assert queue.snapshot().slow == {"slow": pytest.approx(8.5 / 2.0)}


def test_a_gpu_that_fails_in_a_row_gets_no_more_work() -> None:
    queue = queue_of(units(10))
    for lane in "01":
        queue.join(lane, "a", f"GPU {lane} of a")
    for turn in range(BROKEN):
        assert queue.snapshot().broken == []
        unit = leased(queue, "1")
        queue.finish("1", unit.id, ECC)
        if turn == 0:  # a success in between
            queue.finish("1", leased(queue, "1").id, Result(Status.done, 1.0))
            queue.finish("1", leased(queue, "1").id, ECC)
    assert queue.snapshot().broken == ["GPU 1 of a"]
    assert queue.exchange("1") is Order.wait
    assert queue.snapshot().lanes["1"].doing == "out of use"
    queue.join("1", "a", "GPU 1 of a")  # started again, at the same GPU
    assert queue.exchange("1") is Order.wait
    assert isinstance(queue.exchange("0"), list)
    queue.join("1", "b", "GPU 0 of b")  # and elsewhere
    assert isinstance(queue.exchange("1"), list)


def first_gpu_broken(clock: Clock) -> Queue:
    """A queue whose only lane so far has failed by its device, a while after it came."""
    queue = queue_of(units(10), lanes=0, clock=clock, lanes_expected=2)
    queue.join("0", "a", "GPU 0 of a")
    for _ in range(BROKEN):
        queue.finish("0", leased(queue, "0").id, ECC)
    clock.now += queue.lease_seconds
    assert queue.exchange("0") is Order.wait
    return queue


def test_where_every_gpu_fails_the_sweep_stops() -> None:
    clock = Clock()
    queue = first_gpu_broken(clock)
    clock.now += 1.0
    assert queue.snapshot().stopped.startswith("every GPU fails, the last one said: RuntimeError: CUDA error")
    assert queue.exchange("0") is Order.end


def test_a_broken_gpu_that_starts_first_stops_no_sweep() -> None:
    clock = Clock()
    queue = first_gpu_broken(clock)
    queue.join("1", "b", "GPU 0 of b")
    done = 0
    while isinstance(leases := queue.exchange("1"), list):
        clock.now += queue.lease_seconds / 2
        assert queue.exchange("0") is Order.wait
        for lease in leases:
            queue.finish("1", lease.unit.id, Result(Status.done, 1.0))
            done += 1
    assert done == 10
    assert not queue.snapshot().stopped


def test_a_lane_that_is_gone_keeps_no_sweep_going() -> None:
    clock = Clock()
    queue = queue_of(units(10), lanes=0, clock=clock)
    for lane, node in (("0", "a"), ("1", "b")):
        queue.join(lane, node, f"GPU 0 of {node}")
    for _ in range(BROKEN):
        queue.finish("0", leased(queue, "0").id, ECC)
    for _ in range(2):
        assert not queue.snapshot().stopped  # its node is lost: another one may come
        clock.now += REPLACED_SECONDS / 2 + 1.0
        queue.exchange("0")
    assert queue.snapshot().stopped.startswith("every GPU fails")


def test_what_a_gpu_has_failed_at_goes_to_another() -> None:
    """Also where the other one waits: it asks less often than one that has just failed."""
    queue = queue_of(units(1), lanes=0)
    for lane in "01":
        queue.join(lane, "a", f"GPU {lane} of a")
    for _ in range(2):  # times that the broken one asks
        held = queue.exchange("1")
        if isinstance(held, list):
            queue.finish("1", held[0].unit.id, ECC)
    assert queue.snapshot().failed == 1
    queue.finish("0", leased(queue, "0").id, ECC)
    assert isinstance(queue.exchange("1"), list)  # no GPU is left that has not failed at it


def test_failures_of_a_cpu_mark_nothing() -> None:
    queue = queue_of(units(10), max_attempts=9)
    for _ in range(BROKEN - 1):
        queue.finish("0", leased(queue, "0").id, ECC)
    queue.finish("0", leased(queue, "0").id, Result(Status.done, 1.0))
    [lease] = queue.exchange("0")  # type: ignore[misc]
    assert isinstance(lease, Lease)
    assert queue.snapshot().broken == []


@pytest.mark.parametrize(
    "error",
    [
        "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 20.00 MiB. GPU 0 has a total capacity of ...",
        "torch.AcceleratorError: CUDA error: uncorrectable ECC error encountered",
        "RuntimeError: CUDA error: unspecified launch failure",
        "RuntimeError: CUDA error: CUBLAS_STATUS_EXECUTION_FAILED when calling `cublasGemmEx`",
        "RuntimeError: cuDNN error: CUDNN_STATUS_INTERNAL_ERROR",
        "Unable to determine the device handle for GPU 0000:65:00.0: GPU is lost.  Reboot the system",
        "NVRM: Xid (PCI:0000:65:00): 79, pid=1234, GPU has fallen off the bus.",
        "RuntimeError: No CUDA GPUs are available",
        "ValueError: Free memory on device (3.2/79.1 GiB) on startup is less than desired GPU memory utilization",
    ],
)
def test_errors_of_a_gpu_are_told(error: str) -> None:
    assert is_of_device(f"Traceback (most recent call last):\n  ...\n{error}\n")


@pytest.mark.parametrize(
    "error",
    [
        "em.errors.InputError: model=X: does not fit NVIDIA H100: needs 90.0 GiB for train at the least",
        "ValueError: push: missing ['model.norm.weight']",
        "FileNotFoundError: /models/DECC/config.json",
        "OSError: [Errno 28] No space left on device",
    ],
)
def test_other_errors_are_not(error: str) -> None:
    assert not is_of_device(error)


@pytest.mark.slow
def test_a_sweep_ends_whole_beside_a_broken_gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ray is told of two GPUs, of which it gives each lane one; the trainer is near-empty."""
    from ray.cluster_utils import Cluster

    monkeypatch.setenv("BROKEN_GPU", "1")  # for workers too
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 2, "num_gpus": 2, "include_dashboard": False})
    store = Store(tmp_path / "store")
    words = ["sweep=temperature", "sweep.seeds=4", "model.pretrain.steps=30", f"store={store.root}", "cluster=ray"]
    words += [f"cluster.address={cluster.address}", "cluster.cpus_per_lane=1", "cluster.gpus_per_lane=1"]
    command = [sys.executable, "-m", "tests.sweep", "tests.broken_gpu:Trainer", *words, "tracking.progress=plain"]
    try:
        said = finished(started(command, dict(os.environ)))
    finally:
        cluster.shutdown()
    assert len(store.recorded_units()) == 8 * 4 + 1
    broken = f"GPU 1 of {os.uname().nodename}"
    assert f"{broken} fails and gets no more work" in said
    assert len(store.failures()) == BROKEN
