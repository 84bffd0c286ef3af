"""What a bucket does that a folder does not: lost answers, outages, large pieces, long listings, mistakes, a cache."""

import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import obstore
import pytest
from obstore.exceptions import PreconditionError

from em.errors import InputError
from em.store import Store
from em.store import bucket as of_buckets
from em.store.bucket import BucketFiles
from em.store.files import files_at
from em.store.pieces import Pieces
from em.store.schema import DamagedError
from tests import s3_server
from tests.store.conftest import make_older
from tests.store.test_store import UNIT, record
from tests.wire import Wire, wired

KEYS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_REGION", "AWS_PROFILE")


@pytest.fixture
def wire(bucket: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Wire]:
    monkeypatch.setattr(of_buckets, "RETRIES", of_buckets.RETRIES | {"retry_timeout": timedelta(seconds=1)})
    with wired(os.environ["AWS_ENDPOINT_URL"]) as wire:
        monkeypatch.setenv("AWS_ENDPOINT_URL", wire.address)
        yield wire


def create_all(url: str, process: int, names: int = 30, ready: Callable[[], object] = int) -> list[int]:
    """Which of so many names this process was the first to create; it is `ready` before each."""
    files, content = files_at(url), b"%d" % process
    return [number for number in range(names) if (ready(), files.create_once(f"a/{number}", content))[1]]


def test_of_several_processes_one_creates_each_name(bucket: str) -> None:
    with get_context("spawn").Pool(3) as pool:
        won = pool.starmap(create_all, [(bucket, process) for process in range(3)])
    files = files_at(bucket)
    assert sorted(number for numbers in won for number in numbers) == list(range(30))
    assert all(files.read(f"a/{number}") == b"%d" % process for process in range(3) for number in won[process])


def test_of_many_threads_with_the_same_content_one_creates_it(bucket: str) -> None:
    files, barrier = files_at(bucket), threading.Barrier(16)

    def create(number: int) -> bool:
        barrier.wait()
        return files.create_once(f"a/{number // 16}", b"the same")

    with ThreadPoolExecutor(16) as pool:
        won = list(pool.map(create, range(160)))
    assert [sum(won[first : first + 16]) for first in range(0, 160, 16)] == [1] * 10


def test_of_many_threads_one_replaces_what_all_have_read(bucket: str) -> None:
    files, barrier = BucketFiles(bucket), threading.Barrier(8)
    with ThreadPoolExecutor(8) as pool:
        for _ in range(20):
            files.replace("piece", b"read")
            etag = files._get("piece")[1]

            def replace(number: int, etag: str = etag) -> bool:
                barrier.wait()
                return files._put_over("piece", etag, b"%d" % number)

            won = list(pool.map(replace, range(8)))
            assert won.count(True) == 1
            assert files.read("piece") == b"%d" % won.index(True)


def test_who_created_a_name_learns_it_though_the_answer_was_lost(bucket: str, wire: Wire) -> None:
    files = files_at(bucket)
    wire.loses_answers = True
    with pytest.raises(OSError, match=r"s3://.*/results/a/piece"):
        files.create_once("a/piece", b"1")
    wire.mend()
    assert files.read("a/piece") == b"1"
    assert files.create_once("a/piece", b"1")
    assert not files.create_once("a/piece", b"1")
    assert not files_at(bucket).create_once("a/piece", b"1")


def test_an_outage_is_an_error_after_which_the_same_call_works(bucket: str, wire: Wire) -> None:
    files = files_at(bucket)
    files.create_once("piece", b"1")
    wire.cut()
    for call in (files.read, files.exists, files.age, files.touch, files.list, files.remove):
        with pytest.raises(OSError, match=r"\[Errno 5\]") as raised:
            call("piece")
        assert not isinstance(raised.value, FileNotFoundError)
    for write in (files.create_once, files.replace):
        with pytest.raises(OSError, match=r"\[Errno 5\]"):
            write("new", b"2")
    wire.mend()
    assert (files.read("piece"), files.list(""), files.create_once("new", b"2")) == (b"1", ["piece"], True)


def test_a_touch_does_not_bring_back_what_is_removed(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    files, other = BucketFiles(bucket), files_at(bucket)
    files.create_once("claim", b"1")
    get = files._get

    def slow(name: str) -> tuple[bytes, str]:
        found = get(name)
        other.remove(name)
        return found

    monkeypatch.setattr(files, "_get", slow)
    with pytest.raises(FileNotFoundError, match="claim"):
        files.touch("claim")
    assert not other.exists("claim")


@pytest.mark.parametrize("takes", ["bare", "none"])
def test_a_touch_ends_whichever_etags_a_server_takes(bucket: str, monkeypatch: pytest.MonkeyPatch, takes: str) -> None:
    put = obstore.put

    def picky(*args: Any, **settings: Any) -> Any:
        mode = settings.get("mode")
        if isinstance(mode, dict) and (takes == "none" or '"' in mode["e_tag"]):
            raise PreconditionError
        return put(*args, **settings)

    files = BucketFiles(bucket)
    files.replace("claim", b"1")
    make_older(files, "claim", 1000)
    monkeypatch.setattr(obstore, "put", picky)
    if takes == "none":
        with pytest.raises(OSError, match=r"is not replaced, though it is as it was read: 's3://.*/claim"):
            files.touch("claim")
    else:
        files.touch("claim")
        assert files.age("claim") < 60


def test_what_is_written_while_a_piece_is_moved_is_not_lost(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    files, other = BucketFiles(bucket), files_at(bucket)
    files.create_once("a/piece", b"damaged")
    get = files._get

    def slow(name: str) -> tuple[bytes, str]:
        found = get(name)
        other.move(name, "b/by-another")
        other.create_once(name, b"made again")
        return found

    monkeypatch.setattr(files, "_get", slow)
    with pytest.raises(FileNotFoundError, match="meanwhile"):
        files.move("a/piece", "b/piece")
    pieces = ("a/piece", "b/piece", "b/by-another")
    assert [other.read(name) for name in pieces] == [b"made again", b"damaged", b"damaged"]


def test_a_large_piece_travels_in_parts(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(of_buckets, "PART_BYTES", 5 * 2**20)  # S3 takes no smaller ones
    content, files = os.urandom(12 * 2**20 + 7), BucketFiles(bucket)

    def write(path: Path) -> None:
        path.write_bytes(content)

    files.replace_by("states/large.safetensors", write)
    assert files.requests["PUT"] == 3 + 2
    with files.opened("states/large.safetensors") as path:
        assert (path.name, path.read_bytes() == content) == ("large.safetensors", True)
    assert not path.exists()
    with pytest.raises(FileNotFoundError), files.opened("states/none"):
        pass


def test_a_listing_has_as_many_pages_as_it_takes(bucket: str) -> None:
    files = BucketFiles(bucket)
    names = [f"{number:04}" for number in range(1005)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda name: files.replace(f"many/{name}", b""), names))
    before = files.requests["LIST"]
    assert files.list("many") == names
    assert files.requests["LIST"] - before == 2
    files.remove("many")
    assert files.list("") == []


def test_names_may_be_strange(bucket: str) -> None:
    files = files_at(bucket)
    names = ["a b+c%2F&.json", "é=ü?#.json", "~'\"(x).json"]
    for name in names:
        assert files.create_once(f"launches/{name}", name.encode())
    assert files.list("launches") == sorted(names)
    assert [files.read(f"launches/{name}").decode() for name in names] == names


def test_a_record_is_read_once_a_machine_and_anew_where_it_was_made_again(bucket: str) -> None:
    first = Store(bucket)
    first.commit(record())
    asked = []
    for _ in range(2):
        store = Store(bucket)
        assert isinstance(store.files, BucketFiles)
        assert store.recorded_units() == {UNIT.id}
        assert store.record(UNIT.id) == record()
        asked.append(store.files.requests["GET"])
    assert asked == [1, 0]
    reader, name = Store(bucket), f"records/{UNIT.id}.parquet"
    first.files.replace(name, b"garbage")
    reader.recorded_units()
    with pytest.raises(DamagedError, match=name):
        reader.record(UNIT.id)
    other = Store(bucket)  # another machine sets it aside and makes it again; this one has the old listing
    other.set_aside([UNIT.id])
    other.commit(record(loss=0.5))
    reader.set_aside([UNIT.id])
    assert reader.record(UNIT.id) == record(loss=0.5)
    assert len(reader.files.list("damaged")) == 1


def test_kept_pieces_are_whole_and_few(tmp_path: Path) -> None:
    pieces = Pieces(tmp_path, most_bytes=1000)
    pieces.put("records/a", "1", b"a")
    assert (pieces.get("records/a", "1"), pieces.get("records/a", "2"), pieces.get("b", "1")) == (b"a", None, None)
    [path] = tmp_path.glob("*/*")
    path.write_bytes(path.read_bytes()[:-1])
    assert pieces.get("records/a", "1") is None
    for number in range(12):
        Pieces(tmp_path, most_bytes=1000).put(f"records/{number}", "1", b"x" * 68)
        path = pieces._path(f"records/{number}", "1")
        os.utime(path, (number + 1, number + 1))
    kept = [pieces.get(f"records/{number}", "1") is not None for number in range(12)]
    assert kept[-8:] == [True] * 8
    assert sum(path.stat().st_size for path in tmp_path.glob("*/*")) <= 1000


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("gs://bucket/results", "store=gs://bucket/results: give s3://bucket/prefix, or a folder"),
        ("s3://bucket", "store=s3://bucket: give s3://bucket/prefix, or a folder"),
        ("s3://Bucket/x", "store=s3://Bucket/x: no bucket or prefix can be called so; give s3://bucket/prefix"),
        ("s3://nobody-has-it/x", "store=s3://nobody-has-it/x: NoSuchBucket.*; make the bucket, or name another one"),
    ],
)
def test_a_mistake_is_one_line(bucket: str, url: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        Store(url)


def test_credentials_are_those_of_the_environment_or_of_awss_files(
    bucket: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in KEYS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    with pytest.raises(InputError, match=r"store=s3://.*/of/results: no credentials: set AWS_ACCESS_KEY_ID and"):
        Store(bucket)
    key, secret, _ = s3_server.KEYS.values()
    (tmp_path / "credentials").write_text(f"[default]\naws_access_key_id = {key}\naws_secret_access_key = {secret}\n")
    endpoint = os.environ["AWS_ENDPOINT_URL"]
    monkeypatch.delenv("AWS_ENDPOINT_URL")
    (tmp_path / "config").write_text(f"[default]\nregion = eu-west-1\nendpoint_url = {endpoint}\n")
    store = Store(bucket)
    assert store.commit(record())
    kept = [*(tmp_path / "cache").rglob("*")]
    assert not any(secret in path.read_bytes().decode(errors="replace") for path in kept if path.is_file())
    monkeypatch.setenv("AWS_PROFILE", "none")
    with pytest.raises(InputError, match=r"store=s3://.*: The config profile \(none\) could not be found; mend AWS_"):
        Store(bucket)


def test_a_store_that_is_not_there_is_said(bucket: str, monkeypatch: pytest.MonkeyPatch, wire: Wire) -> None:
    wire.cut()
    with pytest.raises(OSError, match="s3://") as raised:
        Store(bucket)
    assert raised.value.filename.startswith("s3://")
    assert raised.value.strerror
