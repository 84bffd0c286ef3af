"""What a sweep asks of a store in a bucket: requests by what they cost, reckoned from what was counted."""

from dataclasses import dataclass

from em.store.access import is_url
from em.store.claims import BEATS
from sweeps.board import LOOK_SECONDS, POST_SECONDS
from sweeps.config import Launch

UNIT_PUTS, UNIT_GETS = 4.0, 1.0  # of a unit: its claim, its record, what is looked up and cleared away
START_PUTS, START_GETS = 20.0, 10.0  # of a launch, once


@dataclass(frozen=True)
class Requests:
    puts: float  # and copies, posts and listings, which cost as much
    gets: float  # and heads

    def price(self, launch: Launch) -> float:
        return (self.puts * launch.budget.put_price + self.gets * launch.budget.get_price) / 1000


def requests(launch: Launch, units: int, lane_seconds: float, wall: float) -> Requests | None:
    """Of a launch of so many units; None where the store is a folder.  Deleting costs nothing."""
    if not is_url(launch.store) or not units:
        return None
    beats = lane_seconds * BEATS / launch.cluster.lease_seconds  # each is a GET and a PUT
    driver = wall * (1 / POST_SECONDS + 1 / LOOK_SECONDS)
    return Requests(START_PUTS + units * UNIT_PUTS + beats + driver, START_GETS + units * UNIT_GETS + beats)
