"""From the words of a command line to a checked config: Hydra composes conf/, every mistake becomes one line."""

import dataclasses
import difflib
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

from hydra import compose as hydra_compose
from hydra import initialize_config_dir
from hydra.core.config_store import ConfigStore
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from omegaconf import OmegaConf
from omegaconf.errors import MissingMandatoryValue, OmegaConfBaseException

from em.cli import inputs
from em.errors import InputError, unknown_name
from em.trial.config import Config
from em.trial.method import METHODS, method_class

CONF = Path(__file__).resolve().parents[2] / "conf"
ConfigT = TypeVar("ConfigT", bound=Config)


def compose_trial(overrides: Sequence[str]) -> Config:
    """The config of one trial: conf/trial.yaml with the overrides."""
    return compose("trial", overrides, Config)


def compose(root: str, overrides: Sequence[str], schema: type[ConfigT]) -> ConfigT:
    """The config of `conf/<root>.yaml` with the overrides, its data files read and digested.

    Raises InputError, one line, for whatever is wrong with it.
    """
    for name in METHODS:
        ConfigStore.instance().store(group="objective", name=name, node=method_class(name))
    ConfigStore.instance().store(name="trial_schema", node=Config)
    ConfigStore.instance().store(name=f"{root}_schema", node=schema)
    with initialize_config_dir(str(CONF), version_base="1.3"):
        try:
            composed = hydra_compose(root, list(overrides))
            config = OmegaConf.to_object(composed)
        except (HydraException, OmegaConfBaseException) as error:
            raise explain(error, overrides, valid_keys=lambda chosen: set(keys(hydra_compose(root, chosen)))) from None
    assert isinstance(config, schema)
    for name in unread(config):
        raise unknown_option(name, set(keys(composed)) - {name})
    return inputs.resolve(config)


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
    return unknown_name("option", name, [path for path in valid if path.rpartition(".")[0] == name.rpartition(".")[0]])


def explain(error: Exception, overrides: Sequence[str], valid_keys: Callable[[list[str]], set[str]]) -> InputError:
    """What Hydra or OmegaConf refused, as one line that names the override and the nearest valid name."""
    groups = {str(path.relative_to(CONF)) for path in CONF.rglob("*") if path.is_dir()}
    try:
        parsed = OverridesParser.create().parse_overrides(list(overrides))
    except HydraException:
        return InputError(f"cannot read {' '.join(overrides)!r}: overrides are written name=value")
    choices = [override.input_line for override in parsed if override.key_or_group in groups and override.input_line]
    for override in parsed:
        name = override.key_or_group
        if name in groups:
            options = {str(path.relative_to(CONF / name))[:-5] for path in (CONF / name).rglob("*.yaml")}
            chosen = override.value()
            for option in chosen if isinstance(chosen, list) else [chosen]:
                if option not in options:
                    return unknown_name(name, str(option), options)
    for override in parsed:
        name = override.key_or_group
        if name not in groups and name not in (valid := valid_keys(choices) | groups):
            return unknown_option(name, valid)
    if isinstance(error, MissingMandatoryValue):
        return InputError(f"{error.full_key}=???: has no default, give it a value")
    message = str(error.__cause__ or error).splitlines()[0]
    return InputError(f"{' '.join(overrides)}: {message}")


def keys(config: Any, prefix: str = "") -> Iterator[str]:
    """Every dotted path of a composed config."""
    for name in config:
        yield prefix + name
        if not OmegaConf.is_missing(config, name) and OmegaConf.is_dict(config[name]):
            yield from keys(config[name], f"{prefix}{name}.")
