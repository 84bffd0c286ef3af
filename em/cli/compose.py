"""From the words of a command line to a checked config: Hydra composes conf/, every mistake becomes one line."""

import dataclasses
import gc
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar

from hydra import compose as hydra_compose
from hydra.core.config_store import ConfigStore
from hydra.core.override_parser.types import Override
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import ConfigAttributeError, ConfigKeyError, MissingMandatoryValue

from em.cli import inputs
from em.cli.memory import remembered
from em.cli.overrides import VARIED, choices, open_conf, parse, several_values
from em.cli.words import in_quotes, quoted, read, text
from em.errors import InputError, nearest, require, require_known, require_no_key, unknown_name
from em.trial.config import Config
from em.trial.fields import expected, type_of
from em.trial.jsonl import is_unicode, shown
from em.trial.method import METHODS, method_class
from em.trial.stabiliser import STABILISERS, stabiliser_class
from em.trial.trial import Earlier

LARGEST = 2**63  # of whole numbers: records hold 64 bits

ConfigT = TypeVar("ConfigT", bound=Config)


@contextmanager
def no_collection() -> Iterator[None]:
    """Without garbage collection: it takes a fifth of the time of composing, which makes no cycles worth it."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def spelled(overrides: Sequence[Override]) -> list[str]:
    return [str(override.input_line) for override in overrides]


@dataclass(frozen=True)
class Root(Generic[ConfigT]):
    """A file at the top of conf/, and the dataclass whose fields it gives values to."""

    name: str
    schema: type[ConfigT]
    words: Callable[[Sequence[str]], list[str]] = lambda arguments: spelled(parse(arguments, choices()))  # for Hydra

    def register(self) -> None:
        """Let Hydra find the dataclass where the file names it."""
        for name in METHODS:  # each has a schema of its own, which the files of `objective` give values to
            ConfigStore.instance().store(group="objective", name=name, node=method_class(name))
        for name in STABILISERS:
            package = f"stabilisers.{name}"
            ConfigStore.instance().store(group="stabiliser", name=name, node=stabiliser_class(name), package=package)
        ConfigStore.instance().store(name="trial_schema", node=Config)
        ConfigStore.instance().store(name=f"{self.name}_schema", node=self.schema)

    def compose(self, words: Sequence[str]) -> DictConfig:
        """What Hydra makes of the file and these words; raises InputError, one line, where it cannot."""
        return self.compose_chosen(words)[0]

    def compose_chosen(self, words: Sequence[str]) -> tuple[DictConfig, dict[str, str]]:
        """That, and the choice of each group that the file has."""
        groups = choices()
        overrides = parse(words, groups)
        for override in overrides:
            if override.is_sweep_override():
                self.require_known(override)
                raise several_values(override, groups, self.is_text(override.key_or_group))
        try:
            return self.hydra_composed(spelled(overrides))
        except Exception as error:  # Hydra and OmegaConf raise much
            own = self.chosen()
            for override in overrides:
                if override.key_or_group in groups:
                    require_known("group", override.key_or_group, own)
            at_fault = next(item for count, item in enumerate(overrides) if not self.composes(overrides[: count + 1]))
            raise self.explain(error, overrides, at_fault, {*self.fields(overrides), *own}) from None

    def composed(self, overrides: Sequence[Override]) -> DictConfig:
        return self.hydra_composed(spelled(overrides))[0]

    def hydra_composed(self, words: Sequence[str]) -> tuple[DictConfig, dict[str, str]]:
        return remembered(self.name, words, lambda: self.newly_composed(words))

    def newly_composed(self, words: Sequence[str]) -> tuple[DictConfig, dict[str, str]]:
        self.register()
        with open_conf(), no_collection():
            made = hydra_compose(self.name, list(words), return_hydra_config=True)
        choices = made.hydra.runtime.choices.items()
        with open_dict(made):
            del made["hydra"]
        return made, {str(group): str(name) for group, name in choices if not str(group).startswith("hydra/")}

    def composes(self, overrides: Sequence[Override]) -> bool:
        with suppress(Exception):
            return bool(self.composed(overrides))
        return False

    def is_text(self, name: str) -> bool:
        return type_of(self.schema, name) is str

    def require_known(self, override: Override) -> None:
        """Raise InputError, with the nearest name, for a word whose name is no field and no group."""
        name, valid = override.key_or_group, {*self.fields([override]), *self.chosen()}
        if name not in valid and type_of(self.schema, name) is None and override.package is None:
            raise unknown_option(name, valid)

    def chosen(self, words: Sequence[str] = ()) -> dict[str, str]:
        """The choice of each group that the file has."""
        return self.hydra_composed(words)[1]

    def fields(self, overrides: Sequence[Override]) -> set[str]:
        """Every field, where the choices among these overrides are made."""
        groups = choices()
        made = [item for item in overrides if item.key_or_group in groups and not item.is_sweep_override()]
        return keys(self.composed(made if self.composes(made) else []))

    def config(self, composed: DictConfig, words: Sequence[str]) -> ConfigT:
        """The dataclass, its fields checked, its data files not read yet; `words` are what it was composed from."""
        self.check_values(composed)
        try:
            config = OmegaConf.to_object(composed)
        except InputError:
            raise
        except Exception as error:
            raise self.explain(error, parse(words, {})) from None
        assert isinstance(config, self.schema)
        for name in unread(config):
            raise unknown_option(name, keys(composed) - {name})
        return replace(config, earlier=tuple(earlier(entry, words) for entry in config.before))

    def check_values(self, composed: DictConfig) -> None:
        """Raise InputError for values that OmegaConf takes, and nothing else would."""
        left: list[tuple[str, Any]] = [("", OmegaConf.to_container(composed))]
        while left:
            name, value = left.pop()
            if isinstance(value, dict):
                left += [(f"{name}.{key}".lstrip("."), item) for key, item in value.items()]
            elif isinstance(value, list):
                flat = type_of(self.schema, name) not in (list[int], list[float], list[str])
                flat = flat or not any(isinstance(item, list | dict) for item in value)
                require(flat, name, shown(value), "each item is one value, give a list of them")
                left += [(name, item) for item in value]
            elif isinstance(value, int):
                require(-LARGEST <= value < LARGEST, name, value, "give a number of at most 64 bits")
            elif isinstance(value, str):
                require(is_unicode(value), name, shown(value), "holds no Unicode text; write it in UTF-8, without NUL")
                require_no_key(name, value)

    def explain(
        self,
        error: Exception,
        overrides: Sequence[Override],
        at_fault: Override | None = None,
        valid: Collection[str] | None = None,
    ) -> InputError:
        """What Hydra or OmegaConf refused, as one line that names the override and the nearest of the valid names."""
        for override in overrides:
            name, word = override.key_or_group, str(override.input_line)
            if valid and name not in valid:
                return unknown_option(name, valid)
            if override.is_add():
                return InputError(f"{word}: write {word.lstrip('+')}")
            if override.is_delete():
                return InputError(f"{word}: a field is not left out; give it a value")
        cause = error.__cause__ or error
        if isinstance(error, MissingMandatoryValue):
            return InputError(f"{error.full_key}=???: has no default, give it a value")
        field = str(getattr(cause, "full_key", None) or "")
        if valid and isinstance(cause, ConfigKeyError | ConfigAttributeError) and field not in valid:
            return unknown_option(field, valid)
        named = [item for item in overrides if field == item.key_or_group]
        words = " ".join(str(item.input_line) for item in named or ([at_fault] if at_fault else overrides))
        field = field.partition("[")[0] or (at_fault.key_or_group if at_fault else "")
        remedy = expected(type_of(self.schema, field), field)
        if words.count("${") and len(named or [at_fault]) == 1:
            name, _, value = words.partition("=")
            remedy = f"a text is put in quotes: {in_quotes(f'{name}=', value)}"
        return InputError(f"{words}: {str(cause).splitlines()[0]}; {remedy}")


TRIAL = Root("trial", Config)
SHARED = ("model", "preset", "scale")  # what an earlier phase has in common with the last one, beside the engine
OWN = ("phase", "steps", "seed")  # what `before` says of an earlier phase itself; all else is an option of its trial


def earlier(entry: Any, words: Sequence[str]) -> Earlier:
    """An earlier phase, as `before` names it: `grpo`, or `{phase: grpo, steps: 50, seed: 1, optimizer.lr: 1e-5}`.

    It is what `python -m em phase=grpo` would train with these options, on the model that `words` name; its steps are
    those that it would be measured after.
    """
    given = entry if isinstance(entry, dict) else {"phase": entry}
    remedy = "name its phase, before=[grpo] or before=[{phase: grpo, steps: 50}]"
    require("phase" in given, "before", shown(entry), remedy)
    for name in given:
        known = [*OWN, *(part for part in VARIED if part not in SHARED)]
        require_known("option of before", str(name).partition(".")[0], known)
    options = [f"{name}={text(quoted(value))}" for name, value in given.items() if name not in OWN]
    shared = [word for word in words if read(word).key_or_group.partition(".")[0] in SHARED]
    own = [*shared, f"phase={given['phase']}", *options]
    try:
        config = TRIAL.config(TRIAL.compose(own), own)
        phase = replace(config, prompts=inputs.resolve_prompts(config.prompts)).phase
        named = bool(phase.prompts.texts or phase.prompts.hub) or config.model.pretrain is not None
        require(named, "prompts.texts", [], "name its own, before=[{phase: grpo, prompts: jsonl, prompts.path: ...}]")
    except InputError as error:
        raise InputError(f"before: {error}") from None
    remedy = "comes after another phase itself; write both, one after the other"
    require(not config.before, "before", shown(entry), remedy)
    return Earlier(phase=phase, steps=given.get("steps", max(config.eval.steps)), seed=given.get("seed", 0))


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
    if nearest(name, valid):
        return unknown_name("option", name, valid)
    owner = name.rpartition(".")[0]
    beside = [path for path in valid if path.rpartition(".")[0] == owner]
    return unknown_name("option", name, beside or [path for path in valid if "." not in path])


def keys(composed: DictConfig) -> set[str]:
    """Every dotted path of a composed config."""
    paths, left = set(), [("", OmegaConf.to_container(composed))]
    while left:
        prefix, value = left.pop()
        paths.add(prefix)
        if isinstance(value, dict):
            left += [(f"{prefix}.{name}".lstrip("."), item) for name, item in value.items()]
    return paths - {""}
