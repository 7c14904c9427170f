"""Test vectors: what a file takes and gives, integer for integer, in a runtime with a name."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from calibration_data.errors import InvalidInputError
from calibration_data.preprocessing import Preprocessing
from evaluation.session import runtime_for
from evaluation.sessions.litert import LiteRTSession
from export.bundles.target import Vectors

if TYPE_CHECKING:
    import numpy as np


def make_vectors(
    path: Path, pixels: np.ndarray, contract: Preprocessing, runtime_name: str
) -> Vectors:
    """Run pixels through a file.

    A uint8 input takes the pixels as they are, as an Android task does; the others take what the
    contract makes of them.

    Args:
        path: of the file.
        pixels: uint8 ``[n, height, width, 3]``, RGB.
        contract: of the file.
        runtime_name: registered runtime.

    Raises:
        InvalidInputError: outputs that are not finite.
    """
    import numpy as np

    session = runtime_for(path, runtime_name).open(path, 1)
    info = session.info
    if isinstance(session, LiteRTSession):
        inputs, outputs = session.raw(pixels, contract)
    else:
        inputs = contract.normalize(pixels)
        outputs = session.predict(inputs)
    if outputs.dtype == np.float32 and not np.isfinite(outputs).all():
        raise InvalidInputError(
            "a file that ships gives finite scores",
            received=f"NaN or infinity from {path.name}",
            remedy="look at the weights, and at the preprocessing contract",
        )
    return Vectors(inputs, outputs, f"{info.runtime} {info.version} ({info.kernels})")
