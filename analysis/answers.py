"""Single answers of some measurements, read from the records themselves, with their latest grades."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl

from analysis import components
from analysis.tables import Tables

GRADED = ("correct", "extracted")  # what later grades replace
KEY = ("unit_id", "step", "evaluation_id")  # of a measurement
Key = tuple[str, int, str]


def answers(tables: Tables, measured: pl.DataFrame, names: Sequence[str]) -> dict[Key, Mapping[str, Any]]:
    """By measurement, these fields of `em.store.record.EvaluationResult`; `measured` are rows of `Tables.scores`.

    It takes a few milliseconds for each record.
    """
    keys = set(measured.select(KEY).iter_rows())
    units = list(dict.fromkeys(measured["unit_id"]))
    grades = tables.store.latest_grades(units)
    later = {(unit, step, evaluation): of for (unit, _, step, evaluation), of in grades.items()}
    leaves = [f"evaluations.list.element.{name}" for name in ("step", "evaluation_id", *names)]
    found = {}
    for unit, record in zip(units, tables.store.leaves(units, leaves), strict=True):
        for result in record["evaluations"] or []:
            key = (unit, result["step"], result["evaluation_id"])
            if key in keys:
                again = {name: getattr(later[key], name) for name in GRADED if key in later and name in names}
                found[key] = {name: result.get(name) for name in names} | again
    return found


def lists(measured: pl.DataFrame, found: Mapping[Key, Mapping[str, Any]], name: str = "correct") -> list[list[Any]]:
    """That field of each of these measurements, as of `answers`; empty where it is not recorded."""
    return [found.get(key, {}).get(name) or [] for key in measured.select(KEY).iter_rows()]


def asked_alike(measured: pl.DataFrame, found: Mapping[Key, Mapping[str, Any]]) -> bool:
    """Whether all were asked the same problems: only then are models and problems crossed."""
    return len({tuple(asked) for asked in lists(measured, found, "asked")}) == 1


def own_noise(tables: Tables, measured: pl.DataFrame) -> dict[str, float]:
    """By benchmark, `analysis.components.own_noise` of the models that were measured: one model, or one answer, nan.

    `measured` are rows of `Tables.scores`, one for each model and benchmark; nan too where a model lacks its answers,
    or where they were asked different problems.
    """
    found, noises = answers(tables, measured, ["correct", "asked"]), {}
    for (benchmark,), of in measured.group_by("benchmark", maintain_order=True):
        correct = lists(of, found)
        shapes = of.select("problems", "samples").unique().rows()
        same = len(shapes) == 1 and asked_alike(of, found)
        whole = same and all(len(one) == shapes[0][0] * shapes[0][1] for one in correct)
        noises[str(benchmark)] = float("nan")
        if whole:
            correct_SPK = np.array([[verdict is True for verdict in one] for one in correct], float)
            noises[str(benchmark)] = components.own_noise(correct_SPK.reshape(-1, *shapes[0]))
    return noises
