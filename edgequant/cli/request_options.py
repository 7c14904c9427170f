"""Requests of the pipeline from the parsed options of a command."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from edgequant.cli.values import contract_request, model_request, names, qat_settings
from edgequant.requests import (
    CalibrationRequest,
    EvaluateRequest,
    MeasureRequest,
    QuantizeRequest,
)
from evaluation.child.policy import TIME_LIMIT
from foundation.errors import InvalidInputError
from models.loading.request import ModelRequest
from quantize.islands import MOST_FLOAT
from quantize.recipes import RECIPES, Recipe, recipe
from quantize.settings import (
    BatchAxis,
    IoType,
    Layout,
    Optimization,
    Postprocess,
    RangeMethod,
    RepairType,
)


def quantize_request(values: dict[str, Any], suffix: str | None = None) -> QuantizeRequest:
    """Request of ``edgequant quantize``.

    Args:
        values: options by name.
        suffix: end of the output folder's default name; None for the names of the recipes.
    """
    model = model_request(values)
    recipes = tuple(_recipe(values, name.strip()) for name in values["recipes"].split(","))
    if values["optimize"] == Optimization.QAT and not any(r.plans_integers for r in recipes):
        raise InvalidInputError(
            "training with quantizers is for int8 recipes",
            received=f"--optimize qat with {', '.join(r.name for r in recipes)}",
            remedy="add an int8 recipe, or leave --optimize out",
        )
    ending = suffix or "+".join(r.name for r in recipes)
    return QuantizeRequest(
        model=model,
        contract=contract_request(values),
        recipes=recipes,
        calibration=CalibrationRequest(values["calibration"], values["samples"], values["seed"]),
        output=values["output"] or Path("artifacts") / f"{model.name}-{ending}",
        measure=_measure_request(values) if values["data"] else None,
        max_drop=values["max_drop"],
        force=values["force"],
        most_float=_most_float(values),
        float_share=MOST_FLOAT if values["max_float_share"] is None else values["max_float_share"],
        repair_with=RepairType(values["repair_with"]),
        qat=qat_settings(values),
        answers=values.get("float_answers"),
        max_size=values.get("max_size"),
    )


def compare_request(values: dict[str, Any]) -> QuantizeRequest:
    """Request of ``edgequant compare``, which repairs nothing."""
    if values["postprocess"] is not None:
        raise InvalidInputError(
            "compare measures the outputs as the network gives them, the same in every format",
            received=f"--postprocess {values['postprocess']}",
            remedy="write that file with 'edgequant quantize', which measures it beside float",
        )
    chosen = values["recipes"] or ",".join(known.name for known in RECIPES)
    values.update(recipes=chosen, io=None, layout=None, batch=None, ranges="min-max")
    values.update(_UNREPAIRED, keep_float=None, keep_int16=None)
    return quantize_request(values, "compare")


def sensitivity_request(values: dict[str, Any]) -> QuantizeRequest:
    """Request of ``edgequant sensitivity``, which measures on calibration images alone."""
    values.update(recipes=values["recipe"], io=None, layout=None, batch=None, data=None)
    values.update(_UNREPAIRED, max_drop=None, force=True, keep_int16=None)
    return quantize_request(values, "sensitivity")


_UNREPAIRED = {"repairs": False, "repair_with": RepairType.FLOAT32}
_MOST_REPAIRED = 0.5
"""Largest share of the multiply-adds that a repair may move out of int8 by default."""


def _most_float(values: dict[str, Any]) -> float | None:
    """Limit of a repair; None for a command that repairs nothing."""
    if not values.get("repairs", True):
        return None
    share: float | None = values["max_float_share"]
    return _MOST_REPAIRED if share is None else share


def evaluate_request(values: dict[str, Any]) -> EvaluateRequest:
    """Request of ``edgequant evaluate``."""
    reference, trust = values["reference"], values["trust"]
    return EvaluateRequest(
        artifact=values["artifact"],
        measure=_measure_request(values),
        reference=None if reference is None else ModelRequest(reference, trust=trust),
        contract=contract_request(values),
        max_drop=values["max_drop"],
        trust=trust,
    )


def _recipe(values: dict[str, Any], name: str) -> Recipe:
    chosen = recipe(name).with_io(IoType(values["io"]) if values["io"] else None)
    return replace(
        chosen,
        layout=Layout(values["layout"] or chosen.layout),
        batch=BatchAxis(values["batch"] or chosen.batch),
        postprocess=Postprocess(values.get("postprocess") or chosen.postprocess),
        settings=replace(
            chosen.settings,
            optimization=Optimization(values["optimize"]),
            ranges=RangeMethod(values["ranges"]),
            float_ops=names(values["keep_float"]),
            wide_ops=names(values["keep_int16"]),
        ),
    )


def _measure_request(values: dict[str, Any]) -> MeasureRequest:
    return MeasureRequest(
        data=values["data"],
        runtime=values.get("runtime"),
        threads=values["threads"],
        limit=values["limit"],
        seed=values["seed"],
        latency=values["latency"],
        time_limit=values.get("time_limit", TIME_LIMIT),
    )
