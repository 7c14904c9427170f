"""What the card of an artifact says about its making."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from edgequant.artifacts import versions
from edgequant.requests import QuantizeRequest
from export.target import export_targets
from quantize.plans.plan import PlannedNetwork
from quantize.recipes import Recipe

if TYPE_CHECKING:
    from edgequant.preparing import Prepared
    from edgequant.repair.repairer import Repair


def origin_of(
    request: QuantizeRequest,
    recipe: Recipe,
    prepared: Prepared,
    planned: PlannedNetwork | None,
    repair: Repair | None,
) -> dict[str, Any]:
    """Model, calibration, versions, repair and remarks, as JSON values."""
    calibration: dict[str, Any] | None = None
    used = prepared.calibration if recipe.needs_calibration else None
    if used is not None:
        calibration = {
            "data": used.dataset.name,
            "images": len(used.dataset),
            "seed": request.calibration.seed,
        }
        if prepared.remarks:
            calibration["remarks"] = list(prepared.remarks)
    return {
        "model": {"name": prepared.loaded.name, "sha256": request.model_digest},
        "calibration": calibration,
        "versions": versions(export_targets()[recipe.target].packages),
        "repair": None if repair is None else repair.to_dict(),
        "remarks": [
            *prepared.loaded.remarks,
            *([] if planned is None else planned.plan.notes),
            *(prepared.planner.remarks(recipe) if recipe.needs_calibration else []),
            *([] if repair is None else repair.remarks()),
        ],
    }
