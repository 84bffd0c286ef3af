"""The words of a command line as Hydra reads them: `name=value`, choices of groups, several values of one name."""

import math
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

from hydra import initialize_config_dir
from hydra.core.override_parser.types import Glob, Override, RangeSweep, Sweep

from em.cli.words import in_quotes, read, text, there_is
from em.errors import InputError, require_known, require_no_key
from em.trial.method import DEFAULT, METHODS
from em.trial.stabiliser import STABILISERS

CONF = Path(__file__).resolve().parents[2] / "conf"
PARTS = ("model", "prompts", "objective", "optimizer", "rollout", "stabilisers", "seed")  # of a trial: fields
VARIED = (*PARTS, "phase", "stabiliser", "sampling", "preset", "scale", "trained_on", "tuned")  # what makes a trial
LISTS = ("benchmark", "stabiliser", "before", "eval.steps", "eval.temperatures")  # what takes several values at once
OPTIONAL = ("preset", "trained_on", "tuned", "sampling")  # groups that a trial can do without
FILES = ("benchmark", "phase", "scale", "stabiliser", *OPTIONAL)  # groups that are no field of the config
VALUES = 100_000  # of one axis, at most

Choices = Mapping[str, Sequence[str]]  # by group, the names of its files


def open_conf() -> initialize_config_dir:
    """Hydra on conf/, as a context."""
    return initialize_config_dir(str(CONF), version_base="1.3")


def choices() -> dict[str, list[str]]:
    """Every group and its choices: folders of conf/ with their files, and methods as objectives by their own names."""
    files = {folder.name: {path.stem for path in folder.glob("*.yaml")} for folder in CONF.iterdir() if folder.is_dir()}
    del files["sized"]  # which a sweep and its size choose
    files["objective"] |= METHODS.keys() - {DEFAULT}  # whose files are the paper's text and its code
    files["stabiliser"] = {*STABILISERS}
    return {name: sorted(files[name]) for name in sorted(files)}


def parse(words: Sequence[str], groups: Choices) -> list[Override]:
    """The words, parsed.  Raises InputError for one that is no override, or names no choice of its group."""
    for word in words:
        name, _, value = word.partition("=")
        require_no_key(name, value)
    overrides = [read(word) for word in words]
    for override in overrides:
        name, word = override.key_or_group, override.input_line
        if name.replace("/", ".").partition(".")[0] == "hydra":
            raise InputError(f"{word}: leave it out, Hydra's own settings do nothing here (store=FOLDER takes results)")
        if name in groups:
            check_choice(override, groups[name])
    return overrides


def check_choice(override: Override, options: Sequence[str]) -> None:
    """Raise InputError unless an override of a group names its choices."""
    group, word, given = override.key_or_group, str(override.input_line), override.value()
    needed = f"{word}: one is needed, choose from {', '.join(options)}"
    if override.package is not None:
        name, _, value = word.lstrip("+~").partition("=")
        raise InputError(f"{word}: Could not override {name!r}. Each group has its place: write {group}={value}")
    if override.is_delete():
        if group not in OPTIONAL:
            raise InputError(needed)
        if given not in (None, ""):
            raise InputError(f"{word}: write ~{group}, which leaves it out")
        return
    if override.is_add() or override.is_force_add():
        raise InputError(f"{word}: write {word.lstrip('+')}")
    if isinstance(given, dict) and group not in FILES:  # gives the fields themselves
        return
    if given is None:
        raise InputError(f"{word}: write ~{group}, which leaves it out" if group in OPTIONAL else needed)
    if isinstance(given, list) and group not in LISTS:
        several = f"takes one choice; several are a sweep, {group}={','.join(map(text, given))}"
        raise InputError(f"{word}: {several}" if given else needed)
    names = values_of(override, options) if override.is_sweep_override() else given
    for name in names if isinstance(names, list) else [names]:
        require_known(group, name if isinstance(name, str) else text(name), options)


def values_of(override: Override, options: Sequence[str] = ()) -> list[object]:
    """The values of an override that has several, as Hydra enumerates them; `options` are the choices of its group.

    Raises InputError where they cannot be enumerated.
    """
    word, given = override.input_line, override.value()
    if override.is_interval_sweep():
        raise InputError(f"{word}: an interval is for a search; name values, or take range(start,stop,step)")
    if isinstance(given, Glob):
        if not options:
            raise InputError(f"{word}: glob() chooses files of a group, and {override.key_or_group} is none")
        values: list[object] = list(given.filter(list(options)))
    else:
        if isinstance(given, RangeSweep):
            check_range(str(word), given)
        values = list(override.sweep_iterator())
    if not values:
        raise InputError(f"{word}: names no value")
    if any(isinstance(value, Sweep | Glob) for value in values):
        raise InputError(f"{word}: a function stands alone; write all values out, or one function of them")
    # Hydra adds the step up, and 0.7000000000000001 would be another trial than 0.7.
    return [float(f"{value:.12g}") if isinstance(value, float) else value for value in values]


def check_range(word: str, given: RangeSweep) -> None:
    """Raise InputError for a range that has no end, or too far a one."""
    start, stop, step = (float(number or 0) for number in (given.start, given.stop, given.step))
    if not step or not all(map(math.isfinite, (start, stop, step))):
        raise InputError(f"{word}: start and stop must be finite, the step not 0; write range(start,stop,step)")
    if (stop - start) / step > VALUES:
        raise InputError(f"{word}: is {(stop - start) / step:,.0f} values, more than {VALUES:,}; take fewer")


def remedy(override: Override, values: Sequence[object], is_text: bool = False) -> str:
    """What to write instead of several values of what is no axis of a sweep."""
    name = override.key_or_group
    if name in LISTS:
        items = [item for value in values for item in (value if isinstance(value, list) else [value])]
        return f"write a list, {name}=[{','.join(map(text, items))}]"
    return f"give it one value{or_quotes(override) if is_text else ''}"


def or_quotes(override: Override) -> str:
    """What to write where the comma is part of a text."""
    name, _, value = str(override.input_line).partition("=")
    return f", or put it in quotes{there_is(value)}: {in_quotes(f'{name}=', value)}"


def several_values(override: Override, groups: Choices, is_text: bool) -> InputError:
    """The error for a word with several values where one trial is composed."""
    name, word = override.key_or_group, str(override.input_line)
    values = values_of(override, groups.get(name, ()))
    if name.partition(".")[0] not in VARIED:
        return InputError(f"{word}: {remedy(override, values, is_text)}")
    more = f"; a text with a comma is put in quotes{or_quotes(override).partition('quotes')[2]}" if is_text else ""
    return InputError(f"{word}: several values are a sweep: python -m sweeps {shlex.quote(word)}{more}")
