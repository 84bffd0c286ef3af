"""The copy of a study that Optuna's own programs read: a journal file, SQLite, PostgreSQL; a dashboard over it."""

import json
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, nullcontext
from pathlib import Path

import optuna
import pytest
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState

from em.errors import InputError
from em.store import Store
from sweeps.config import compose_launch
from sweeps.search import mirror
from sweeps.search.study import Study
from tests import postgres_server
from tests.sweeps.test_search_study import World, composed

NAME = "study"


@pytest.fixture
def storage(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], str]:
    """A URL for each kind of storage; empty for the journal."""

    def url(kind: str) -> str:
        if kind == "postgresql":
            if postgres_server.programs() is None:
                pytest.skip("needs PostgreSQL's server (Debian: postgresql)")
            monkeypatch.setenv("PGPASSWORD", postgres_server.PASSWORD)
            running = postgres_server.server(tmp_path)
            request.addfinalizer(lambda: running.__exit__(None, None, None))
            return running.__enter__()
        return f"sqlite:///{tmp_path / 'study.db'}" if kind == "sqlite" else ""

    return url


def world(url: str = "", *words: str) -> World:
    return World(composed("search=random", f"search.storage='{url}'", "search.points=8", *words))


@contextmanager
def read(store: Store, url: str) -> Iterator[optuna.Study]:
    with mirror.database(url) if url else nullcontext(journal(store)) as storage:
        yield optuna.load_study(study_name=NAME, storage=storage)


def journal(store: Store) -> JournalStorage:
    return JournalStorage(JournalFileBackend(str(mirror.journal(store, NAME))))


def same(study: Study, copy: optuna.Study) -> bool:
    names = ("number", "state", "values", "params", "user_attrs", "intermediate_values", "constraints")
    pairs = zip(copy.trials, study.trials(), strict=True)
    return all(
        getattr(old, name) == (number if name == "number" else getattr(new, name))
        for number, (old, new) in enumerate(pairs)
        for name in names
    )


@pytest.mark.parametrize("kind", ["journal", "sqlite", "postgresql"])
def test_a_copy_follows_the_study(kind, storage, tmp_path):
    """Written while trials end, each is there once; it has what the study has, by Optuna's own reading."""
    url, store = storage(kind), Store(tmp_path)
    made = world(url, "search.constraints.mean=0.5")
    study = made.study()
    for trials in (3, 9, 20, 100):
        made.run(0, study, trials)
        mirror.write(study, NAME, store)
        with read(store, url) as copy:
            assert same(study, copy)
    best = study.best(study.by_number)
    assert best is not None
    with read(store, url) as copy:
        assert [trial.state for trial in copy.trials] == [TrialState.COMPLETE] * 8
        assert copy.best_trial.params == best.values
        assert copy.metric_names == ["mean accuracy"]
        seen = [trial.datetime_complete for trial in copy.trials]
    mirror.write(study, NAME, store)
    with read(store, url) as copy:
        assert [trial.datetime_complete for trial in copy.trials] == seen  # nothing is told twice


@pytest.mark.parametrize("kind", ["journal", "sqlite"])
def test_a_copy_that_says_something_else_is_written_anew(kind, storage, tmp_path):
    """Answers that were graded again, another study of that name, a file that a kill cut short."""
    url, store = storage(kind), Store(tmp_path)
    made = world(url)
    study = made.study()
    made.run(0, study)
    mirror.write(study, NAME, store)
    made.scores = {key: scores + 0.01 for key, scores in made.scores.items()}
    again = made.study(made.kept)
    made.run(0, again)
    mirror.write(again, NAME, store)
    with read(store, url) as copy:
        assert same(again, copy)
    if kind == "journal":
        path = mirror.journal(store, NAME)
        path.write_bytes(path.read_bytes()[:-20])
        mirror.write(again, NAME, store)
        with read(store, url) as copy:
            assert same(again, copy)


def test_a_database_that_cannot_be_reached_is_one_line_without_its_password(tmp_path, monkeypatch):
    monkeypatch.setenv("PGPASSWORD", "secret1234")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"postgresql+psycopg://em@127.0.0.1:{free.getsockname()[1]}/postgres?connect_timeout=2"
    made = world(url)
    study = made.study()
    made.run(0, study)
    with pytest.raises(InputError, match=r"^search.storage=postgresql") as caught:
        mirror.write(study, NAME, Store(tmp_path))
    assert "secret1234" not in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1
    with pytest.raises(InputError, match="give a URL such as postgresql"):
        mirror.database("nonsense").__enter__()


def test_a_database_of_another_version_is_one_line(storage, tmp_path):
    url = storage("sqlite")
    study = world(url).study()
    mirror.write(study, NAME, Store(tmp_path))
    with closing(sqlite3.connect(tmp_path / "study.db")) as database:
        database.execute("UPDATE alembic_version SET version_num = 'v3.0.0.a'")
        database.commit()
    with pytest.raises(
        InputError, match=r"cannot be written there: The runtime optuna version .* is no longer"
    ) as caught:
        mirror.write(study, NAME, Store(tmp_path))
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize("content", ["[1, 2]\n", "7\n", "{}\n", '{"op_code": 99}\n', "\x00\n", "no journal\n"])
def test_a_journal_that_is_none_is_written_anew(content, tmp_path):
    made, store = world(), Store(tmp_path)
    study = made.study()
    made.run(0, study)
    path = mirror.journal(store, NAME)
    path.parent.mkdir(parents=True)
    path.write_text(content)
    mirror.write(study, NAME, store)
    with read(store, "") as copy:
        assert same(study, copy)


def test_the_dashboard_shows_the_study(tmp_path):
    store, made = Store(tmp_path), world("", "search.objectives=[mean,spread]", "search=nsga2")
    study = made.study()
    made.run(0, study)
    mirror.write(study, NAME, store)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    program = Path(sys.executable).parent / "optuna-dashboard"
    with subprocess.Popen(
        [program, mirror.journal(store, NAME), "--port", str(port)], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    ) as server:
        try:
            studies = ask(port, "studies")["study_summaries"]
            assert [of["study_name"] for of in studies] == [NAME]
            shown = ask(port, f"studies/{studies[0]['study_id']}")
        finally:
            server.terminate()
    assert len(shown["trials"]) == 8
    assert shown["objective_names"] == ["mean accuracy", "standard deviation over seeds"]
    assert {of["name"] for of in shown["union_search_space"]} == {*made.kept[0].values}


def ask(port: int, what: str) -> dict:
    for _ in range(300):
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/{what}", timeout=30) as answer:
                return json.load(answer)
        except OSError:
            time.sleep(0.1)
    raise TimeoutError(what)


def test_a_password_in_the_words_is_refused():
    """They are recorded; libpq has ways of its own."""
    with pytest.raises(InputError, match="PGPASSWORD") as caught:
        compose_launch(["sweep=search", "search.storage=postgresql://em:secret1234@host/db"])
    assert "secret1234" not in str(caught.value)
