"""Values that commands share, from parsed options to parts of a request."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from calibration_data.contract import ContractRequest
    from evaluation.child.policy import Isolation
    from models.loading.request import ModelRequest
    from quantize.qat.exchange import QatSettings


def model_request(values: dict[str, Any]) -> ModelRequest:
    """Model that ``values`` ask for; takes the values of ``model_options`` out of them.

    The channels of its input stay in ``values``, since they are of the contract as well.
    """
    from calibration_data.channels import parsed_channels
    from edgequant.cli.option_types import PLAIN
    from models.blocks import Activation, Bottleneck, Shortcut
    from models.loading.request import ModelRequest

    activation, bottleneck, shortcut = (
        values.pop(name) for name in ("activation", "bottleneck", "shortcut")
    )
    channels = values.get("channels")
    return ModelRequest(
        reference=values.pop("model"),
        channels=None if channels in (None, PLAIN) else parsed_channels(channels),
        weights=values.pop("weights", None),
        alpha=values.pop("alpha"),
        size=values.pop("size"),
        classes=values.pop("classes"),
        activation=None if activation is None else Activation(activation),
        bottleneck=None if bottleneck is None else Bottleneck(bottleneck),
        shortcut=None if shortcut is None else Shortcut(shortcut),
        trust=values.pop("trust", False),
    )


def isolation_of(values: dict[str, Any]) -> Isolation:
    """How files may be run; takes ``trust_option`` and ``time_option`` out of ``values``."""
    from evaluation.child.policy import Isolation

    return Isolation(values.pop("trust"), values.pop("time_limit"))


def qat_settings(values: dict[str, Any]) -> QatSettings:
    """Settings of the training; takes the values of ``qat_options`` out of ``values``."""
    from foundation.errors import InvalidInputError
    from foundation.extras import QAT
    from quantize.qat.exchange import QatSettings

    if values["optimize"] == "qat":
        QAT.require("use --optimize best")
    names = ("epochs", "learning_rate")
    given = {n: v for n in names if (v := values.pop(f"qat_{n}", None)) is not None}
    if given and values["optimize"] != "qat":
        raise InvalidInputError(
            "--qat-epochs and --qat-learning-rate go with --optimize qat",
            received=f"--optimize {values['optimize']}",
            remedy="add --optimize qat, or leave them out",
        )
    return QatSettings(**given, seed=values["seed"])


def contract_request(values: dict[str, Any]) -> ContractRequest:
    """Contract that ``values`` state; takes those of ``contract_options`` out of them."""
    from calibration_data.channels import parsed_channels
    from calibration_data.contract import ContractRequest
    from calibration_data.preprocessing import Crop, Interpolation
    from calibration_data.task import Task
    from edgequant.cli.option_types import PLAIN

    crop, interpolation, channels, task = (
        values.pop(name) for name in ("crop", "interpolation", "channels", "task")
    )
    return ContractRequest(
        file=values.pop("preprocessing"),
        mean=_numbers("--mean", values.pop("mean")),
        std=_numbers("--std", values.pop("std")),
        crop=None if crop is None else Crop(crop),
        resize_short_side=values.pop("resize_short_side"),
        interpolation=None if interpolation is None else Interpolation(interpolation),
        channels=None if channels in (None, PLAIN) else parsed_channels(channels),
        labels=values.pop("labels"),
        plain=channels == PLAIN,
        task=None if task is None else Task(task),
        threshold=values.pop("threshold"),
    )


def _numbers(option: str, text: str | None) -> tuple[float, ...] | None:
    from foundation.errors import InvalidInputError

    if text is None:
        return None
    try:
        numbers = tuple(float(part) for part in text.split(","))
        if not all(math.isfinite(number) for number in numbers):
            raise ValueError("not finite")
        return numbers
    except ValueError as error:
        raise InvalidInputError(
            f"{option} takes one finite number, or one per channel with commas",
            received=text,
            remedy=f"write for instance {option} 127.5",
        ) from error


def names(text: str | None) -> tuple[str, ...]:
    """Names of a text with commas between them, sorted."""
    parts = (text or "").split(",")
    return tuple(sorted({part.strip() for part in parts if part.strip()}))
