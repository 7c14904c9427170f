"""Texts of a bundle: the guide to its files, and the model card."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from calibration_data.detection import Detector
from calibration_data.task import Task, Tasks
from foundation.digests import sha256_of
from reports.task_rows import card_figures, card_heads, card_labelled

_LABELS = "`labels.txt` names the outputs in their order; "
_HOW = f"""\
Each folder has what one platform needs. {_LABELS}`vectors/`
has inputs and the outputs to expect (.bin, little endian; the .json says type, shape and which
runtime computed them). `edgequant verify .` checks all of it again with the runtimes that are
installed."""
_LIMITS = """\
Outputs are scores of the classes in labels.txt and of nothing else: an image of something else gets
one of them too."""


def shipping_guide(manifest: dict[str, Any], sections: list[str]) -> str:
    """SHIPPING.md: one section per platform, each with the results of its proofs."""
    lines = [
        f"# Shipping {manifest['model']}",
        "",
        _HOW.replace(_LABELS, _labels(manifest["preprocessing"])),
    ]
    for (name, values), section in zip(manifest["targets"].items(), sections, strict=True):
        lines += ["", f"## {values['title']}: `{name}/`", "", section, ""]
        for role, file in values["files"].items():
            if file["folded"]:
                lines.append(f"- {role}: {file['folded']}.")
        for proof in values["proofs"]:
            lines.append(f"- {proof['verdict']}: {proof['sentence']}")
    return "\n".join(lines) + "\n"


def _labels(contract: dict[str, Any]) -> str:
    """What labels.txt has, as the beginning of a sentence; empty without labels."""
    if not contract.get("labels"):
        return ""
    return _LABELS.replace("outputs", "classes") if _of_places(contract) else _LABELS


def _of_places(contract: dict[str, Any]) -> bool:
    """Whether the labels are those of boxes or pixels, and not of outputs."""
    return Tasks.from_dict(contract).only.known in (Task.DETECTION, Task.SEGMENTATION)


def model_card(manifest: dict[str, Any], folder: Path) -> str:
    """MODEL_CARD.md: contract, calibration, files, accuracy and limits."""
    contract = manifest["preprocessing"]
    lines = [
        f"# {manifest['model']}",
        "",
        f"{_purpose(contract)} SHIPPING.md says how to load it.",
        "",
        "| | |",
        "|---|---|",
        f"| model, sha256 | `{manifest['model_sha256']}` |",
        *(f"| {key} | {_shown(key, contract)} |" for key in contract if key != "labels"),
        (
            f"| test vectors | {manifest['vectors']['images']} images of "
            f"{manifest['vectors']['data']} |"
        ),
        *(f"| {name} | {version} |" for name, version in manifest["versions"].items()),
        "",
        "## Files",
        "",
        "| file | recipe | calibrated on | bytes | sha256 |",
        "|---|---|---|---:|---|",
    ]
    for target, values in manifest["targets"].items():
        for role, file in values["files"].items():
            path = next(
                p for p in sorted((folder / target).iterdir())
                if p.suffix in (".tflite", ".onnx") and p.stem.endswith(role)
            )  # fmt: skip
            calibration = file["calibration"]
            images = (
                "-" if calibration is None else f"{calibration['images']} of {calibration['data']}"
            )
            lines.append(
                f"| {target}/{path.name} | {file['recipe']['name']}, {file['recipe']['io']} | "
                f"{images} | {path.stat().st_size:,} | `{sha256_of(path)}` |"
            )
    lines += ["", "## Accuracy", "", *_accuracy(manifest["accuracy"]), "", _limits(contract)]
    return "\n".join(lines) + "\n"


def _shown(key: str, contract: dict[str, Any]) -> Any:
    """Value of the contract for the card; a detector's in words, since it is a table."""
    if key != "detection":
        return contract[key]
    detector = Detector.from_dict(contract[key])
    return (
        f"{detector.count:,} anchors on {len(detector.levels)} levels; boxes from a score of "
        f"{detector.score_threshold:g}, at most {detector.most}, none of them above an IoU of "
        f"{detector.iou_threshold:g} with a surer one of its class; "
        "all of it is in bundle.json"
    )


def _input_words(contract: dict[str, Any]) -> str:
    """What the network takes, from the plain values of its contract."""
    if "shape" in contract:
        return f"an array {contract['shape']}"
    channels = contract["channels"]
    if channels == "grey":
        return "a grey image"
    return f"an image of {channels} channels" if isinstance(channels, int) else "an RGB image"


_PURPOSES = {
    Task.CLASSIFICATION: "Classifies {what} into {count} classes.",
    Task.BINARY: "Answers yes or no about {what}: yes from a score of {threshold:g}.",
    Task.MULTI_LABEL: "Says for each of {count} labels whether {what} has it: yes from a "
    "score of {threshold:g}.",
    Task.REGRESSION: "Measures {count} quantities of {what}.",
    Task.EMBEDDING: "Makes a vector of {what}, whose direction is near that of like images.",
    Task.DETECTION: "Finds objects of {count} classes in {what}, with a box for each.",
    Task.SEGMENTATION: "Gives each place of {what} one of {count} classes.",
}


def _purpose(contract: dict[str, Any]) -> str:
    """What the network is for, in one sentence."""
    tasks = Tasks.from_dict(contract)
    if tasks.named:
        parts = (f"{name} ({task.known})" for name, task in tasks.named)
        return f"Reads RGB images; its outputs are {', '.join(parts)}."
    task = tasks.only
    count = len(contract.get("labels", ()))
    return _PURPOSES[task.known].format(
        count=count, threshold=task.limit, what=_input_words(contract)
    )


def _limits(contract: dict[str, Any]) -> str:
    """What the outputs do not say."""
    if Tasks.from_dict(contract).only.known is Task.CLASSIFICATION:
        return _LIMITS
    return (
        "Outputs speak of images like those that the network was trained on: an image of something "
        "else gets an output too."
    )


def _accuracy(values: dict[str, Any]) -> list[str]:
    if "reason" in values:
        return [f"Not measured: {values['reason']}."]
    first, likeness = card_heads(values)
    lines = [f"| file | runtime | {first.head} | {likeness.head} |", "|---|---|---:|---:|"]
    lines += [
        f"| {row['file']} | {row['runtime']} | {' | '.join(card_figures(values, row))} |"
        for row in values["rows"]
    ]
    of = values["data"] if card_labelled(values) else f"{values['data']}, which have no labels"
    note = f"n = {values['images']:,} images of {of}, drawn at random."
    remarks = [f"- {remark}" for remark in values.get("remarks", ())]
    return [
        *lines, "", f"{note} `edgequant evaluate` measures all of them, with an interval.",
        *(["", *remarks] if remarks else []),
    ]  # fmt: skip
