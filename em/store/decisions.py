"""What was decided from records once and for all, such as the points of a search: it stands, whatever comes later.

decisions/<of what>/<name>.json
"""

import json
from typing import Any

from em.errors import InputError
from em.store.files import Files

FOLDER, SUFFIX = "decisions", ".json"


class Decisions:
    def __init__(self, files: Files, decides: bool) -> None:
        self.files, self.decides = files, decides

    def kept(self, of: str) -> dict[str, Any]:
        """All that stands, by name, in the order of names.  Raises InputError where one is damaged."""
        names = [name for name in self.files.list(f"{FOLDER}/{of}") if name.endswith(SUFFIX)]
        return {name: self._read(of, name) for name in (name.removesuffix(SUFFIX) for name in names)}

    def keep(self, of: str, name: str, value: Any) -> Any:
        """What stands under that name from now on: this value, or what another process decided before.

        Who only looks gets the same, and nothing stands by that.  Raises OSError where it cannot be written: by what is
        recorded later another value might be decided; InputError where what stands is damaged.
        """
        path, content = path_of(of, name), json.dumps(value).encode()
        if self.decides:
            self.files.create_once(path, content)
        return self._read(of, name) if self.decides or self.files.exists(path) else json.loads(content)

    def damaged(self, of: str, name: str) -> InputError:
        """The error for one that is not what was written: nobody decides anew what may stand elsewhere still."""
        remedy = "damaged; put back what it held, or remove it: it is decided anew, by what is recorded now"
        return InputError(f"{self.files.where(path_of(of, name))}: {remedy}")

    def _read(self, of: str, name: str) -> Any:
        try:
            return json.loads(self.files.read(path_of(of, name)))
        except ValueError:
            raise self.damaged(of, name) from None


def path_of(of: str, name: str) -> str:
    return f"{FOLDER}/{of}/{name}{SUFFIX}"
