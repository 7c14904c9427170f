"""The page of ``edgequant compare``, with pictures of the images whose answer changed."""

from __future__ import annotations

from pathlib import Path

from calibration_data.datasets.base import Dataset
from calibration_data.preprocessing import Preprocessing
from calibration_data.stream import converted
from edgequant.cli.invocation import command_line
from edgequant.measuring import open_measured
from edgequant.pipeline import Prepared
from edgequant.requests import MeasureRequest
from reports import tables
from reports.compare_page import page, shown_images
from reports.html import write_page
from reports.pictures import png


def write_compare_page(
    report: tables.Document, prepared: Prepared, request: MeasureRequest, stored: Path
) -> Path:
    """Write the page of a report beside its JSON.

    Args:
        report: that was measured, or stored by an earlier run of the same request.
        prepared: the model, for its contract.
        request: what was measured on.
        stored: the JSON; the page has its name.

    Raises:
        InvalidInputError: the folder cannot be written, or an image cannot be read any more.
    """
    dataset = open_measured(request, prepared.contract, prepared.loaded.classes)
    pictures = _pictures(shown_images(report), dataset, prepared.contract)
    data = tuple(
        (what, stored.with_suffix(ending).name)
        for what, ending in (("JSON", ".json"), ("CSV", ".csv"), ("Markdown", ".md"))
    )
    path = stored.with_suffix(".html")
    write_page(page(report, pictures, command_line(), data), path)
    return path


def _pictures(numbers: list[int], dataset: Dataset, contract: Preprocessing) -> dict[int, bytes]:
    """What the network saw of each image, resized and cropped, as PNG."""
    return {number: png(converted(dataset, number, contract.pixels)) for number in numbers}
