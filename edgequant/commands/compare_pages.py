"""The page of ``edgequant compare``, with pictures of the images whose answer changed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from calibration_data.datasets.base import Dataset
from calibration_data.preprocessing import Preprocessing
from calibration_data.stream import converted
from calibration_data.task import Task
from edgequant.cli.invocation import command_line
from edgequant.commands.mask_overlays import mask_overlays
from edgequant.measuring import open_measured
from edgequant.preparing import Prepared
from edgequant.requests import MeasureRequest
from reports import tables
from reports.box_pictures import SIDE
from reports.compare_page import page, shown_images
from reports.html import write_page
from reports.pictures import png, visible

if TYPE_CHECKING:
    from calibration_data.datasets.base import Picture


def write_compare_page(
    report: tables.Document,
    prepared: Prepared,
    request: MeasureRequest,
    stored: Path,
    files: Mapping[str, Path],
) -> Path:
    """Write the page of a report beside its JSON.

    Args:
        report: measured report, or the stored one of an earlier run of the same request.
        prepared: model with its contract.
        request: images that were measured on.
        stored: path of the JSON; the page has its name.
        files: path of the file of each row, by the row's name.

    Returns:
        Path of the page.

    Raises:
        InvalidInputError: the folder cannot be written, or an image can no longer be read.
    """
    dataset = open_measured(request)
    pictures = _pictures(shown_images(report), dataset, prepared.contract)
    data = tuple(
        (what, stored.with_suffix(ending).name)
        for what, ending in (("JSON", ".json"), ("CSV", ".csv"), ("Markdown", ".md"))
    )
    path = stored.with_suffix(".html")
    masks = mask_overlays(report, prepared, files, dataset)
    write_page(page(report, pictures, command_line(), data, masks), path)
    return path


def _pictures(numbers: list[int], dataset: Dataset, contract: Preprocessing) -> dict[int, bytes]:
    """Each image as the network receives it, resized and cropped, as PNG, by number.

    Of a detector's photos, whose boxes are drawn, the photo itself.
    """
    if contract.tasks.only.known is Task.DETECTION:
        return {n: png(visible(converted(dataset, n, _photo)), SIDE) for n in numbers}
    return {number: png(visible(converted(dataset, number, contract.pixels))) for number in numbers}


def _photo(picture: Picture) -> np.ndarray:
    """Pixels of a photo, uint8 ``[height, width, n]``."""
    pixels = picture if isinstance(picture, np.ndarray) else np.asarray(picture.convert("RGB"))
    return pixels if pixels.ndim == 3 else pixels[..., None]
