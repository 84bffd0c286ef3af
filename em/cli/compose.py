"""From the words of a command line to a checked config: Hydra composes conf/, every mistake becomes one line."""

import dataclasses
import difflib
import shlex
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from hydra import compose as hydra_compose
from hydra.core.config_store import ConfigStore
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import MissingMandatoryValue, OmegaConfBaseException

from em.cli import inputs
from em.cli.overrides import VARIED, Choices, choices, open_conf, parse, remedy, values_of
from em.errors import InputError, require_known, unknown_name
from em.trial.config import Config
from em.trial.method import METHODS, method_class

ConfigT = TypeVar("ConfigT", bound=Config)


@dataclass(frozen=True)
class Root(Generic[ConfigT]):
    """A file at the top of conf/, and the dataclass whose fields it gives values to."""

    name: str
    schema: type[ConfigT]
    words: Callable[[Sequence[str]], list[str]] = list  # the words of a command line as Hydra composes them

    def register(self) -> None:
        """Let Hydra find the dataclass where the file names it."""
        for name in METHODS:  # each has a schema of its own, which the files of `objective` give values to
            ConfigStore.instance().store(group="objective", name=name, node=method_class(name))
        ConfigStore.instance().store(name="trial_schema", node=Config)
        ConfigStore.instance().store(name=f"{self.name}_schema", node=self.schema)

    def compose(self, words: Sequence[str]) -> DictConfig:
        """What Hydra makes of the file and these words; raises InputError, one line, where it cannot."""
        self.register()
        groups = choices()
        overrides = parse(words, groups)
        for override in overrides:
            if override.is_sweep_override():
                raise several_values(override, groups)
        try:
            with open_conf():
                return hydra_compose(self.name, list(words))
        except (HydraException, OmegaConfBaseException) as error:
            own = self.chosen()
            for override in overrides:
                if override.key_or_group in groups:
                    require_known("group", override.key_or_group, own)
            raise explain(error, overrides, {*self.fields(overrides, own), *own}) from None

    def chosen(self, words: Sequence[str] = ()) -> dict[str, object]:
        """The choice of each group that the file has."""
        self.register()
        with open_conf():
            runtime = hydra_compose(self.name, list(words), return_hydra_config=True).hydra.runtime
        return {str(group): name for group, name in runtime.choices.items() if not str(group).startswith("hydra/")}

    def fields(self, overrides: Sequence[Override], groups: Collection[str]) -> set[str]:
        """Every field, where the choices among these overrides are made."""
        made = [item for item in overrides if item.key_or_group in groups and item.package is None]
        with open_conf():
            names = [str(item.input_line) for item in made if isinstance(item.value(), str | list)]
            return keys(hydra_compose(self.name, names))

    def config(self, composed: DictConfig, words: Sequence[str]) -> ConfigT:
        """The dataclass, its fields checked, its data files not read yet; `words` are what it was composed from."""
        try:
            config = OmegaConf.to_object(composed)
        except (HydraException, OmegaConfBaseException) as error:
            raise explain(error, parse(words, {})) from None
        assert isinstance(config, self.schema)
        for name in unread(config):
            raise unknown_option(name, keys(composed) - {name})
        return config


TRIAL = Root("trial", Config)


def compose_trial(words: Sequence[str]) -> Config:
    """The config of one trial, its data files read and digested: conf/trial.yaml with these words.

    Raises InputError, one line, for whatever is wrong with it.
    """
    return inputs.resolve(TRIAL.config(TRIAL.compose(words), words))


def unread(config: Any, prefix: str = "") -> Iterator[str]:
    """What `+name=value` added that no dataclass has a field for: Hydra takes it, and nothing would read it."""
    fields = {field.name for field in dataclasses.fields(config)} if dataclasses.is_dataclass(config) else None
    for name, value in config.items() if isinstance(config, dict) else vars(config).items():
        if fields is not None and name not in fields:
            yield prefix + name
        elif isinstance(value, dict) or dataclasses.is_dataclass(value):
            yield from unread(value, f"{prefix}{name}.")


def unknown_option(name: str, valid: Collection[str]) -> InputError:
    """The nearest of all valid paths or, where none is near, those beside it."""
    if difflib.get_close_matches(name, valid, n=1):
        return unknown_name("option", name, valid)
    owner = name.rpartition(".")[0]
    beside = [path for path in valid if path.rpartition(".")[0] == owner]
    return unknown_name("option", name, beside or [path for path in valid if "." not in path])


def several_values(override: Override, groups: Choices) -> InputError:
    """The error for a word with several values where one trial is composed."""
    name, word = override.key_or_group, str(override.input_line)
    values = values_of(override, groups.get(name, ()))
    if name.partition(".")[0] in VARIED:
        return InputError(f"{word}: several values are a sweep: python -m sweeps {shlex.quote(word)}")
    return InputError(f"{word}: {remedy(name, values)}")


def explain(error: Exception, overrides: Sequence[Override], valid: Collection[str] | None = None) -> InputError:
    """What Hydra or OmegaConf refused, as one line that names the override and the nearest of the valid names."""
    for override in overrides:
        name, word = override.key_or_group, str(override.input_line)
        if valid and name not in valid:
            return unknown_option(name, valid)
        if override.is_add():
            return InputError(f"{word}: write {word.lstrip('+')}")
        if override.is_delete():
            return InputError(f"{word}: a field is not left out; give it a value")
    if isinstance(error, MissingMandatoryValue):
        return InputError(f"{error.full_key}=???: has no default, give it a value")
    cause = error.__cause__ or error
    at_fault = [item for item in overrides if item.key_or_group == getattr(cause, "full_key", None)] or overrides
    words = " ".join(str(override.input_line) for override in at_fault)
    return InputError(f"{words}: {str(cause).splitlines()[0]}")


def keys(composed: DictConfig) -> set[str]:
    """Every dotted path of a composed config."""
    paths, left = set(), [("", OmegaConf.to_container(composed))]
    while left:
        prefix, value = left.pop()
        paths.add(prefix)
        if isinstance(value, dict):
            left += [(f"{prefix}.{name}".lstrip("."), item) for name, item in value.items()]
    return paths - {""}
