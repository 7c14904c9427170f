"""ONNX Runtime on phones and in Node: .onnx, .ort, and the list of operators for a small build."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

from calibration_data.preprocessing import ChannelOrder, Preprocessing
from calibration_data.task import Task
from export.bundles.labels import LABELS, labels_text, write_labels
from export.bundles.onnx_decoder import SCRIPT, decoder_files, python_lines
from export.bundles.ort_format import CONFIG, Usability, mobile_usability, write_ort
from export.bundles.target import VECTORS, BundleRequest, Figures, ShipFile, ShipTarget
from export.onnx.inspect import inspect
from foundation.foreign import read_text, reading
from quantize.recipes import recipe
from quantize.settings import Postprocess

ROLE = "int8"
INSIDE = "int8-detections"
"""Role of the file of a detector that suppresses boxes itself."""
_REMEDY = "make the bundle again"
_CONFIG_LINE = re.compile(r"(#.*|!.*|[\w.]+;\d+;[\w,{}\[\]\":. -]*|)", re.ASCII)
_HOW = """\
`.onnx` is for any ONNX Runtime; `.ort` for its mobile packages; the `.config` is what
`build.sh --include_ops_by_config` takes for a build with these operators and types alone."""


def models(folder: Path, role: str = ROLE) -> tuple[Path, ...]:
    """Paths of the .onnx and the .ort of a role in this target's folder."""
    kinds = (".onnx", ".ort")
    found = (p for p in folder.iterdir() if p.suffix in kinds and p.stem.endswith(f"-{role}"))
    return tuple(sorted(found))


def _report_name(role: str) -> str:
    return f"mobile_usability{role.removeprefix(ROLE)}.json"


def _check(_: Preprocessing) -> None:
    """Accept every contract: the application computes with its numbers."""


def _write(request: BundleRequest, folder: Path) -> None:
    for role, path in request.files.items():
        model = folder / f"{request.name}-{role}.onnx"
        shutil.copyfile(path, model)
        write_ort(model, folder)
        (folder / _report_name(role)).write_bytes(_report(mobile_usability(model)))
        request.vectors[role].write(folder / VECTORS, role)
    for name, content in decoder_files(request.contract).items():
        (folder / name).write_bytes(content)
    if request.contract.labels:
        write_labels(request.contract, folder)


def _finish(_request: BundleRequest, _folder: Path, _figures: Figures) -> None:
    """Write nothing: no file depends on a measurement."""


def _data(request: BundleRequest, _figures: Figures) -> tuple[str, ...]:
    stems = [f"{request.name}-{role}" for role in request.vectors]
    return tuple(f"{stem}{end}" for end in (".onnx", ".ort", CONFIG) for stem in stems)


def _rebuild(request: BundleRequest, folder: Path, _figures: Figures) -> dict[str, bytes]:
    """Content of labels, reports and decoder; refuses unsafe lists of operators and models."""
    reports = {_report_name(role): _checked(request, folder, role) for role in request.vectors}
    labels = {LABELS: labels_text(request.contract)} if request.contract.labels else {}
    return {**labels, **reports, **decoder_files(request.contract)}


def _checked(request: BundleRequest, folder: Path, role: str) -> bytes:
    """Report of a role, after a look at its model and its list of operators."""
    stem = f"{request.name}-{role}"
    _check_model(folder / f"{stem}.onnx")
    config = folder / f"{stem}{CONFIG}"
    rule = "the list of operators has lines such as 'ai.onnx;13;Conv,QuantizeLinear'"
    text = read_text(config, rule, _REMEDY, encoding="ascii")
    with reading(config, rule, _REMEDY):
        if odd := [line for line in text.splitlines() if not _CONFIG_LINE.fullmatch(line)]:
            raise ValueError(odd[0])
    report = folder / _report_name(role)
    rule = "the report of mobile usability is a list of answers in JSON"
    answers = read_text(report, rule, _REMEDY)
    with reading(report, rule, _REMEDY):
        return _report(tuple(Usability.from_dict(answer) for answer in json.loads(answers)))


def _check_model(path: Path) -> None:
    """Refuse an .onnx that refers to other files, or has operators of another domain."""
    import onnx
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

    rule = "the .onnx of a bundle holds its weights, and operators of ONNX alone"
    with reading(path, rule, _REMEDY, raised=(DecodeError,)):
        model = onnx.load_model_from_string(path.read_bytes())
        if any(t.data_location == t.EXTERNAL or t.external_data for t in model.graph.initializer):
            raise ValueError("weights in another file")
        for node in model.graph.node:
            if node.domain not in ("", "ai.onnx"):
                raise ValueError(f"the operator {node.op_type} of {node.domain}")
            for attribute in node.attribute:
                if attribute.HasField("g") or attribute.graphs or attribute.t.external_data:
                    raise ValueError(f"the operator {node.op_type} with a graph or file of its own")


def _report(answers: tuple[Usability, ...]) -> bytes:
    return (json.dumps([a.to_dict() for a in answers], indent=2) + "\n").encode()


def _guide(request: BundleRequest, folder: Path, _figures: Figures) -> str:
    contract = request.contract
    shown = INSIDE if INSIDE in request.files else ROLE  # the file that Swift opens
    lines = [_HOW, *_decoding_guide(request), *_providers(request, folder)]
    shape = ", ".join(str(size) for size in contract.shape)
    count, (words, swift, python) = contract.channel_count, _what(contract)
    value = "value" if contract.plain else "pixel"
    names = [(_identifier(name), name) for name in _outputs(folder, request, shown)]
    quoted = ", ".join(f'"{name}"' for _, name in names)
    lines += [
        "",
        (
            f"The input `image` is float32 [1, {shape}], {words}"
            f"({value} - mean) / std with mean {_list(contract.mean)} and std "
            f"{_list(contract.std)}."
        ),
        "",
        "```swift",
        f"// CocoaPods: onnxruntime-objc; {swift}",
        "let mean: [Float] = [" + _list(contract.mean) + "]",
        "let std: [Float] = [" + _list(contract.std) + "]",
        (
            f"var image = {value}s.enumerated().map {{ (Float($1) - mean[$0 % {count}]) / "
            f"std[$0 % {count}] }}"
        ),
        "let data = NSMutableData(bytes: &image, length: image.count * 4)",
        "let env = try ORTEnv(loggingLevel: .warning)",
        f'let path = Bundle.main.path(forResource: "{request.name}-{shown}", ofType: "ort")!',
        "let session = try ORTSession(env: env, modelPath: path, sessionOptions: nil)",
        "let input = try ORTValue(tensorData: data, elementType: .float,",
        f"                         shape: [1, {shape}])",
        f'let out = try session.run(withInputs: ["image": input], outputNames: [{quoted}],',
        "                          runOptions: nil)",
        *(f'let {plain} = try out["{name}"]!.tensorData() as Data' for plain, name in names),
        "```",
        "",
        "```python",
        *_python_imports(contract),
        f"# {python}",
        f"session = onnxruntime.InferenceSession('{request.name}-int8.onnx')",
        f"image = np.float32({value}s[None]) - np.float32([{_list(contract.mean)}])",
        f"image /= np.float32([{_list(contract.std)}])",
        *_python_outputs(request, [plain for plain, _ in names]),
        "```",
    ]
    return "\n".join(lines)


def _decoding_guide(request: BundleRequest) -> list[str]:
    """What the two files of a detector give; empty for other networks."""
    if request.contract.detector is None:
        return []
    return [
        "",
        (
            f"`{request.name}-{INSIDE}` gives detections (`detection_boxes` top, left, bottom, "
            "right relative to the input, `detection_classes`, `detection_scores`, and "
            f"`num_detections`, behind which rows are zeros). `{request.name}-{ROLE}` gives the "
            f"network's own outputs, which `{SCRIPT}` decodes with NumPy alone."
        ),
    ]


def _providers(request: BundleRequest, folder: Path) -> list[str]:
    """Table of what execution providers of phones take of each model."""
    alone = len(request.files) == 1
    head = "provider | fit as it is | nodes taken | in parts | not taken |"
    lines = ["", f"| {head}" if alone else f"| file | {head}"]
    lines.append("|---|---|---:|---:|---|" if alone else "|---|---|---|---:|---:|---|")
    for role in request.files:
        answers = json.loads((folder / _report_name(role)).read_text(encoding="utf-8"))
        first = "" if alone else f"| {role} "
        lines += [
            f"{first}| {a['provider']} | {a['answer']} | {a['nodes']} of {a['all_nodes']} | "
            f"{a['partitions']} | {', '.join(a['unsupported']) or '-'} |"
            for a in answers
        ]
    return lines


def _outputs(folder: Path, request: BundleRequest, role: str) -> tuple[str, ...]:
    """Names of the outputs of a model in a folder."""
    found = inspect(folder / f"{request.name}-{role}.onnx").outputs
    return tuple(tensor.name for tensor in found)


def _identifier(name: str) -> str:
    """Name of a variable in Swift and Python."""
    plain = re.sub(r"\W", "_", name, flags=re.ASCII)
    return plain if plain[:1].isalpha() else f"output_{plain}"


def _python_imports(contract: Preprocessing) -> list[str]:
    if contract.detector is None:
        return ["import numpy as np, onnxruntime"]
    return [
        "import json, numpy as np, onnxruntime",
        f"from {SCRIPT.removesuffix('.py')} import detections",
    ]


def _python_outputs(request: BundleRequest, names: list[str]) -> list[str]:
    """Lines that run the session, and print the answer where the output has labels."""
    contract = request.contract
    if contract.detector is not None:
        return python_lines(contract.labels)
    if contract.tasks.only.known is Task.SEGMENTATION and len(names) == 1 and contract.labels:
        return [
            f"{names[0]} = session.run(None, {{'image': image}})[0][0]",
            f"mask = {names[0]}.argmax(axis=-1)  # at the size of the network's map",
            "counts = np.bincount(mask.ravel())",
            "print(open('labels.txt').read().splitlines()[counts.argmax()])  # the largest",
        ]
    if not request.vectors[ROLE].classes:
        return [f"[{', '.join(names)}] = session.run(None, {{'image': image}})"]
    return [
        f"{names[0]} = session.run(None, {{'image': image}})[0][0]",
        f"print(open('labels.txt').read().splitlines()[{names[0]}.argmax()])",
    ]


def _what(contract: Preprocessing) -> tuple[str, str, str]:
    """Input in words: in a sentence, for Swift, and for Python."""
    shape = ", ".join(str(size) for size in contract.shape)
    if contract.plain:
        return "", f"values: [Float], {shape.replace(', ', ' x ')}", f"values: float32 [{shape}]"
    height, width = contract.size
    count = contract.channel_count
    if contract.is_colour:
        order = "B, G, R" if contract.channels is ChannelOrder.BGR else "R, G, B"
        words = f"channels {order}"
    else:
        order = words = "grey" if count == 1 else f"{count} channels"
    return (
        f"{words}, ",
        f"pixels: [UInt8], {height} x {width} x {count}, {order}",
        f"pixels: uint8 [{shape}], {words}",
    )


def _list(values: tuple[float, ...]) -> str:
    return ", ".join(f"{value:g}" for value in values)


def _files_of_task(contract: Preprocessing) -> tuple[ShipFile, ...]:
    """Files of a detector: with its own outputs, and with detections."""
    if contract.detector is None:
        return ()
    inside = replace(recipe("onnx-int8"), postprocess=Postprocess.ONNX)
    return (*BUNDLE.files, ShipFile(INSIDE, inside, "onnxruntime"))


BUNDLE = ShipTarget(
    name="onnx-mobile",
    title="ONNX Runtime (mobile, Node, desktop)",
    extra="onnx-mobile",
    files=(ShipFile(ROLE, recipe("onnx-int8"), "onnxruntime"),),
    files_of_task=_files_of_task,
    check=_check,
    write=_write,
    finish=_finish,
    guide=_guide,
    data=_data,
    rebuild=_rebuild,
    proofs=("onnxruntime", "onnxruntime-node"),
    any_outputs=True,
)
