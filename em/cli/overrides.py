"""The words of a command line as Hydra reads them: `name=value`, choices of groups, several values of one name."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hydra import initialize_config_dir
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Glob, Override, Transformer
from hydra.errors import HydraException

from em.errors import InputError, require_known
from em.trial.method import DEFAULT, METHODS

CONF = Path(__file__).resolve().parents[2] / "conf"
VARIED = ("model", "prompts", "objective", "optimizer", "rollout", "seed", "sampling", "preset")  # what makes a trial
LISTS = ("benchmark", "eval.steps", "eval.temperatures")  # what takes several values at once
OPTIONAL = ("preset", "sampling")  # groups that a trial can do without

Choices = Mapping[str, Sequence[str]]  # by group, the names of its files


def open_conf() -> initialize_config_dir:
    """Hydra on conf/, as a context."""
    return initialize_config_dir(str(CONF), version_base="1.3")


def choices() -> dict[str, list[str]]:
    """Every group and its choices: folders of conf/ with their files, and methods as objectives by their own names."""
    methods = {"objective": METHODS.keys() - {DEFAULT}}  # whose files are the paper's text and its code
    return {
        folder.name: sorted({*(path.stem for path in folder.glob("*.yaml")), *methods.get(folder.name, ())})
        for folder in sorted(CONF.iterdir())
        if folder.is_dir()
    }


def parse(words: Sequence[str], groups: Choices) -> list[Override]:
    """The words, parsed.  Raises InputError for one that is no override, or names no choice of its group."""
    parser, overrides = OverridesParser.create(), []
    for word in words:
        try:
            override = parser.parse_override(word if word[:1] != "=" else "")
        except HydraException as error:
            reason = str(error).splitlines()[0] if "=" in word[1:] else "overrides are written name=value"
            raise InputError(f"cannot read {word!r}: {reason}") from None
        if override.key_or_group in groups and override.package is None:
            check_choice(override, groups[override.key_or_group])
        overrides.append(override)
    return overrides


def check_choice(override: Override, options: Sequence[str]) -> None:
    """Raise InputError unless an override of a group names its choices."""
    group, word, given = override.key_or_group, override.input_line, override.value()
    needed = f"{word}: one is needed, choose from {', '.join(options)}"
    if override.is_delete():
        if group not in OPTIONAL:
            raise InputError(needed)
        return
    if override.is_add() or override.is_force_add():
        raise InputError(f"{word}: write {str(word).lstrip('+')}")
    if isinstance(given, dict):  # gives the fields themselves
        return
    if given is None:
        raise InputError(f"{word}: write ~{group}, which leaves it out" if group in OPTIONAL else needed)
    if isinstance(given, list) and group not in LISTS:
        raise InputError(f"{word}: takes one choice; several are a sweep, {group}={','.join(map(str, given))}")
    names = values_of(override, options) if override.is_sweep_override() else given
    for name in names if isinstance(names, list) else [names]:
        require_known(group, text(name), options)


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
        values = list(override.sweep_iterator())
    if not values:
        raise InputError(f"{word}: names no value")
    # Hydra adds the step up, and 0.7000000000000001 would be another trial than 0.7.
    return [float(f"{value:.12g}") if isinstance(value, float) else value for value in values]


def remedy(name: str, values: Sequence[object]) -> str:
    """What to write instead of several values of what is no axis of a sweep."""
    if name not in LISTS:
        return "give it one value"
    items = [item for value in values for item in (value if isinstance(value, list) else [value])]
    return f"write a list, {name}=[{','.join(map(text, items))}]"


def text(value: Any) -> str:
    """A value as Hydra writes it."""
    return Transformer.str(value)
