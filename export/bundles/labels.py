"""Labels in a bundle: one per output, unique, ASCII."""

from __future__ import annotations

from pathlib import Path

from calibration_data.preprocessing import Preprocessing
from foundation.errors import InvalidInputError

LABELS = "labels.txt"


def check_labels(contract: Preprocessing, classes: int) -> None:
    """Refuse labels that a platform of a bundle would show wrongly.

    A contract checks count and duplicates already; the count is checked again for contracts from
    other sources.

    Raises:
        InvalidInputError: no labels, another number than outputs, or a letter beyond ASCII.
    """
    if len(contract.labels) != classes:
        raise InvalidInputError(
            f"a bundle carries one label for each of the {classes} outputs",
            received=f"{len(contract.labels)} labels",
            remedy="give the list that the model was trained with: --labels FILE, or --task "
            "embedding or regression for numbers without labels",
        )
    for label in contract.labels:
        if not label.isascii() or not label.isprintable():
            raise InvalidInputError(
                "labels in a bundle are printable ASCII, since C sources and display drivers of "
                "microcontrollers take nothing else",
                received=ascii(label),
                remedy="write keys in ASCII with --labels FILE, and translate in the application",
            )


def write_labels(contract: Preprocessing, folder: Path) -> None:
    """Write labels.txt: one label per line, in the order of the outputs."""
    (folder / LABELS).write_bytes(labels_text(contract))


def labels_text(contract: Preprocessing) -> bytes:
    """Content of a label file."""
    return ("\n".join(contract.labels) + "\n").encode("ascii")
