"""``edgequant inspect --for``: operators that a delegate or accelerator does not take."""

from __future__ import annotations

from pathlib import Path

from edgequant.cli.terminal import Terminal
from export.bundles.ort_format import mobile_usability
from export.delegates.report import device, lint
from export.foreign import admit
from foundation.errors import InvalidInputError

_ONNX_PROVIDERS = {"nnapi": "NNAPI", "coreml": "CoreML"}


def show_delegate(path: Path, name: str, terminal: Terminal) -> None:
    """Print which operators of a file a device leaves to the CPU, and why.

    A .tflite is compared with the tables of operators; for an .onnx, ONNX Runtime's mobile
    usability check is run, which knows NNAPI and CoreML.
    """
    if path.suffix == ".onnx":
        _show_onnx(path, name, terminal)
        return
    report = lint(path, device(name))
    terminal.say(
        f"{report.title}: may take {report.taken} of {report.operators} operators of {path.name}"
    )
    for refusal in report.refused:
        terminal.say(f"  {refusal.count} {refusal.operator}: {refusal.reason}")
    for remark in report.remarks:
        terminal.say(f"  {remark}")
    for source in report.sources:
        terminal.say(f"  source: {source}")
    terminal.result({"file": str(path), **report.to_dict()})


def _show_onnx(path: Path, name: str, terminal: Terminal) -> None:
    if name not in _ONNX_PROVIDERS:
        raise InvalidInputError(
            f"an .onnx is checked for {' and '.join(_ONNX_PROVIDERS)}",
            received=f"--for {name}",
            remedy="give the .tflite of the model",
        )
    if not path.is_file():
        raise InvalidInputError(
            "ARTIFACT is an existing .tflite or .onnx",
            received=f"{path}, which does not exist",
            remedy="check the path",
        )
    admit(path)
    word = _ONNX_PROVIDERS[name]
    answers = [a for a in mobile_usability(path) if a.provider.startswith(word)]
    for a in answers:
        terminal.say(
            f"{a.provider}: takes {a.nodes} of {a.all_nodes} nodes of {path.name} in "
            f"{a.partitions} partitions; should run well as it is: {a.answer}"
        )
        if a.unsupported:
            terminal.say(f"  not taken: {', '.join(a.unsupported)}")
    terminal.say("  source: onnxruntime.tools.check_onnx_model_mobile_usability")
    terminal.result({"file": str(path), "answers": [a.to_dict() for a in answers]})
