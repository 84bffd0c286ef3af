"""Axes as a command line gives them: several values of one name, in any of Hydra's ways to write them."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from hydra.core.override_parser.types import Override
from omegaconf import ListConfig, OmegaConf

from em.cli.overrides import VARIED, Choices, remedy, values_of
from em.cli.words import in_quotes, quoted, text, there_is
from em.errors import LONGEST_NAME, InputError
from em.trial.identity import content_id

Axes = dict[str, list[object]]  # values by field or group

ENDS = ("low", "high", "log", "step")
UNNAMED = "command_line"  # the sweep of axes that are given without a sweep


def split(overrides: Sequence[Override], groups: Choices, is_text: Callable[[str], bool]) -> tuple[list[str], Axes]:
    """The words with the first value of each axis, and the axes; `is_text` says whether a field holds a text.

    Axes without a sweep are a sweep of their own, named after them; several sweeps are their union, each of which has
    the axes.
    """
    axes = {
        override.key_or_group: ends_of(override)
        if override.is_interval_sweep()
        else values_of(override, groups.get(override.key_or_group, ()))
        for override in overrides
        if override.is_sweep_override()
    }
    named = {override.key_or_group: override for override in overrides}
    sweeps = axes.pop("sweep", None)
    for name, values in axes.items():
        word = str(named[name].input_line)
        if name.partition(".")[0] not in VARIED:
            raise InputError(f"{word}: is no part of a trial; {remedy(named[name], values, is_text(name))}")
        whole, parts = word.partition("=")[2], [str(value) for value in values]
        if is_text(name) and there_is(whole) and not all(map(there_is, parts)):
            raise InputError(f"{word}: there is a file of that name; put it in quotes: {in_quotes(f'{name}=', whole)}")
    if "seed" in axes and "sweep.seeds" in named:
        seeds, seed = (named[name].input_line for name in ("sweep.seeds", "seed"))
        raise InputError(f"{seeds}: {seed} names the seeds; leave one of the two out")
    words = [
        f"{override.get_key_element()}={text(quoted(axes[override.key_or_group][0]))}"
        if override.is_sweep_override()
        else str(override.input_line)
        for override in overrides
        if (override.key_or_group != "sweep" or not sweeps) and not override.is_interval_sweep()
    ]
    if sweeps:
        union = [f"sweep={UNNAMED}", "sweep.union=" + text(quoted(sweeps))]
        words = [
            *union,
            *([] if "sweep.name" in named else [f"sweep.name={short('-'.join(map(str, sweeps)))}"]),
            *words,
        ]
        return words, {}
    if axes and "sweep" not in named:
        name = short("-".join(axes).replace(".", "_"))
        words = [f"sweep={UNNAMED}", *([] if "sweep.name" in named else [f"sweep.name={name}"]), *words]
    return words, axes


def short(name: str) -> str:
    """A name that a sweep can have."""
    return name if len(name) <= LONGEST_NAME else f"{name[: LONGEST_NAME - 9]}-{content_id(name)[:8]}"


def plain(listed: ListConfig) -> Axes:
    """`sweep.axes` as it is composed; what has two ends instead of values as one mapping of them."""
    axes: Any = OmegaConf.to_container(listed)
    return {axis["field"]: axis["values"] or [{name: axis[name] for name in ENDS}] for axis in axes}


def ends_of(override: Override) -> list[object]:
    """The ends of an interval, as `plain` has them: `interval(0.5,2)`, `tag(log,interval(1e-5,1e-2))`."""
    given: Any = override.value()
    low, high = (int(end) if float(end).is_integer() else end for end in (given.start, given.end))
    return [{"low": low, "high": high, "log": "log" in given.tags, "step": None}]


def has_ends(values: Sequence[object]) -> bool:
    return len(values) == 1 and isinstance(values[0], dict) and values[0].keys() == set(ENDS)


def plain_grids(listed: ListConfig) -> list[Axes]:
    """`sweep.grids` as it is composed."""
    grids: Any = OmegaConf.to_container(listed)
    return grids


def word(axes: Mapping[str, Sequence[object]]) -> str:
    """The axes as one word that Hydra takes."""
    entries = [
        {"field": name} | (dict(values[0]) if has_ends(values) else {"values": list(values)})  # type: ignore[call-overload]
        for name, values in axes.items()
    ]
    return "sweep.axes=" + text(quoted(entries))


def grids_word(grids: Sequence[Mapping[str, Sequence[object]]]) -> str:
    """The grids as one word that Hydra takes."""
    return "sweep.grids=" + text(quoted([dict(grid) for grid in grids]))
