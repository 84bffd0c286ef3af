"""How a launch is shown: on a terminal, and in W&B."""

import re
from dataclasses import dataclass
from enum import Enum

from em.errors import require, require_positive


class Progress(Enum):
    auto = "auto"  # live on a terminal, else plain
    live = "live"  # a table that is redrawn
    plain = "plain"  # a line now and then
    none = "none"


class Upload(Enum):
    """Whether W&B runs are sent as they are written; they always lie on disk first."""

    auto = "auto"  # where there is an API key
    online = "online"
    offline = "offline"


class Grain(Enum):
    """What one W&B run shows."""

    cell = "cell"  # all seeds of a combination of the axes' values
    trial = "trial"


@dataclass(kw_only=True)
class Tracking:
    progress: Progress = Progress.auto
    refresh_seconds: float = 0.5
    wandb: bool = False  # a W&B exporter, a process of its own, follows the sweep
    entity: str = ""  # W&B user or team; empty: the API key's own
    project: str = ""  # of W&B; empty: em-<name of the sweep>
    upload: Upload = Upload.auto
    runs: Grain = Grain.cell  # one W&B run for each
    runs_per_project: int = 10_000  # what W&B advises; more go on in <project>.2 and so on
    export_seconds: float = 15.0  # between two looks at the store
    upload_seconds: float = 60.0  # between two uploads

    def __post_init__(self) -> None:
        require_positive(
            "tracking",
            refresh_seconds=self.refresh_seconds,
            runs_per_project=self.runs_per_project,
            export_seconds=self.export_seconds,
            upload_seconds=self.upload_seconds,
        )
        named = re.fullmatch(r"[\w-]{0,100}", self.project, re.ASCII) is not None
        advice = "give letters, digits, '_' and '-'; what goes on in further projects is named with a dot"
        require(named, "tracking.project", repr(self.project), advice)

    @property
    def by_trial(self) -> bool:
        return self.runs is Grain.trial
