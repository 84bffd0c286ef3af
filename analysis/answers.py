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


def own_noise(tables: Tables, measured: pl.DataFrame) -> dict[str, float]:
    """By benchmark, `analysis.components.own_noise` of the models that were measured: one model, or one answer, nan.

    `measured` are rows of `Tables.scores`, one for each model and benchmark; nan too where a model lacks its answers,
    or where they were asked different problems.
    """
    found, noises = answers(tables, measured, ["correct", "asked"]), {}
    for (benchmark,), of in measured.group_by("benchmark", maintain_order=True):
        lists = [found.get(key, {}).get("correct") or [] for key in of.select(KEY).iter_rows()]
        shapes = of.select("problems", "samples").unique().rows()
        asked = {tuple(found.get(key, {}).get("asked") or []) for key in of.select(KEY).iter_rows()}
        same = len(shapes) == len(asked) == 1
        whole = same and all(len(one) == shapes[0][0] * shapes[0][1] for one in lists)
        noises[str(benchmark)] = float("nan")
        if whole:
            correct_SPK = np.array([[verdict is True for verdict in one] for one in lists], float)
            noises[str(benchmark)] = components.own_noise(correct_SPK.reshape(-1, *shapes[0]))
    return noises
