"""Pictures of changed masks for the page of a comparison."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from calibration_data.datasets.base import Dataset
from calibration_data.stream import stream
from edgequant.candidates import file_candidate
from edgequant.preparing import Prepared
from evaluation.child.policy import Isolation
from evaluation.mask_rows import classes_of, grid_of, mask_of
from evaluation.masks import class_count
from evaluation.runner import in_order
from evaluation.session import Session
from evaluation.sessions.keras_model import KerasSession
from reports.mask_galleries import MaskKey, shown_masks
from reports.mask_pictures import class_colours, mask_comparison
from reports.pictures import visible

Document = dict[str, Any]


def mask_overlays(
    report: Document, prepared: Prepared, files: Mapping[str, Path], dataset: Dataset
) -> dict[MaskKey, bytes]:
    """PNG of each photo whose masks the page shows.

    Float network and files are run again on these few photos, since masks are not kept.

    Args:
        report: measured report.
        prepared: float network with its contract.
        files: path of the file of each row, by the row's name.
        dataset: photos that were measured on.
    """
    wanted = shown_masks(report)
    if not wanted:
        return {}
    rows = {row["name"]: row for row in report["rows"]}
    float_network = KerasSession(prepared.loaded.model)
    images = sorted({image for _, _, image in wanted})
    exact = dict(zip(images, _maps(float_network, prepared, dataset, images), strict=True))
    pictures = {}
    for name in dict.fromkeys(name for _, name, _ in wanted):
        digest = rows[name]["sha256"]
        # A file of an earlier run may have been changed since.
        isolation = Isolation(time_limit=600.0)
        file = file_candidate(files[name], rows[name]["runtime"], digest, isolation=isolation)
        session, keys = file.open(1), [key for key in wanted if key[1] == name]
        photos = sorted({image for _, _, image in keys})
        found = dict(zip(photos, _maps(session, prepared, dataset, photos), strict=True))
        for output, _, image in keys:
            place = float_network.outputs.index(output) if output else 0
            names = float_network.outputs
            maps = in_order(found[image], session.outputs, names, name)
            pair = (exact[image][place], maps[place])
            pictures[output, name, image] = _picture(pair, prepared, dataset, image)
    return pictures


def _maps(
    session: Session, prepared: Prepared, dataset: Dataset, images: list[int]
) -> list[tuple[np.ndarray, ...]]:
    """Outputs of some photos, one at a time, so that few maps are in memory at once."""
    chosen = dataset.subset(np.array(images))
    batches = stream(chosen, prepared.contract, batch_size=1)
    return [tuple(output[0] for output in session.run(batch.images)) for batch in batches]


def _picture(
    maps: tuple[np.ndarray, np.ndarray], prepared: Prepared, dataset: Dataset, image: int
) -> bytes:
    contract, exact = prepared.contract, maps[0]
    decoded = dataset.decode(image)
    photo = visible(decoded if isinstance(decoded, np.ndarray) else np.asarray(decoded))
    height, width = photo.shape[:2]
    classes = class_count(exact.shape, contract.labels)
    if any(values.ndim == 2 for values in maps):
        maps = (classes_of(maps[0]), classes_of(maps[1]))
    masks = []
    for values in maps:
        grid = grid_of(contract, (height, width), values.shape[:2])
        masks.append(np.where(grid.seen, mask_of(grid, values, classes, exact), 0))
    palette = () if contract.segmenter is None else contract.segmenter.palette
    return mask_comparison(photo, masks[0], masks[1], class_colours(classes, palette))
