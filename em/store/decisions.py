"""What was decided from records once and for all, such as the points of a search: it stands, whatever comes later.

decisions/<of what>/<name>.json
"""

import json
from contextlib import suppress
from typing import Any

from em.store.files import Files

FOLDER = "decisions"


class Decisions:
    def __init__(self, files: Files, decides: bool) -> None:
        self.files, self.decides = files, decides

    def kept(self, of: str) -> dict[str, Any]:
        """All that stands, by name, in the order of names."""
        names = self.files.list(f"{FOLDER}/{of}")
        return {name.removesuffix(".json"): json.loads(self.files.read(f"{FOLDER}/{of}/{name}")) for name in names}

    def keep(self, of: str, name: str, value: Any) -> Any:
        """What stands under that name from now on: this value, or what another process decided before.

        Who only looks gets the same, and nothing stands by that.  Where nothing can be written it is this value:
        whoever decides again, by the same records, decides the same.
        """
        path = f"{FOLDER}/{of}/{name}.json"
        with suppress(OSError):
            if not self.decides or not self.files.create_once(path, json.dumps(value).encode()):
                return json.loads(self.files.read(path))
        return json.loads(json.dumps(value))
