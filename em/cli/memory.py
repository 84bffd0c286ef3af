"""What Hydra composed, kept on this machine: to compose takes a tenth of a second, and a large sweep does it often.

    <cache>/composed/<hash of the words, of conf/ and of all that gives them a meaning>

Only a cache: any change of the project's files, or of a library, makes other hashes.
"""

import hashlib
import pickle
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import TypeVar

from em.cli import overrides
from em.model.checkpoint import cache_folder
from em.store.files import PosixFiles

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = ("em", "sweeps", "analysis")
KEPT = 1000  # files, above which all are removed

T = TypeVar("T")


@cache
def meaning_of_code() -> bytes:
    """A digest of the code that reads config files, and of the libraries that compose them."""
    digest = hashlib.sha256(f"{version('hydra-core')} {version('omegaconf')}".encode())
    for folder in FOLDERS:
        for path in sorted((ROOT / folder).rglob("*.py")):
            digest.update(f"{path.relative_to(ROOT)}\0".encode() + path.read_bytes())
    return digest.digest()


def meaning() -> bytes:
    """That, and of the config files as they are now: a process that runs for days sees what is edited meanwhile."""
    digest = hashlib.sha256(meaning_of_code())
    for path in sorted(overrides.CONF.rglob("*.yaml")):
        digest.update(f"{path.relative_to(overrides.CONF)}\0".encode() + path.read_bytes())
    return digest.digest()


def remembered(name: str, words: Sequence[str], compose: Callable[[], T]) -> T:
    """What `compose` makes of a root and these words, or made before."""
    files = PosixFiles(cache_folder() / "composed")
    before = meaning()
    key = hashlib.sha256(before + repr((name, list(words))).encode()).hexdigest()
    with suppress(Exception):  # there is none, or it is damaged
        return pickle.loads(files.read(key))
    made = compose()
    if meaning() != before:  # edited meanwhile: nobody knows what was read
        return made
    with suppress(OSError):  # of who may not write there
        if len(known := files.list("")) > KEPT:
            for old in known:
                files.remove(old)
        files.replace(key, pickle.dumps(made))
    return made
