"""ONNX Runtime on phones and in Node: .onnx, .ort, and the list of operators for a small build."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

from calibration_data.preprocessing import ChannelOrder, Preprocessing
from export.bundles.labels import LABELS, labels_text, write_labels
from export.bundles.ort_format import CONFIG, Usability, mobile_usability, write_ort
from export.bundles.target import VECTORS, BundleRequest, Figures, ShipFile, ShipTarget
from export.onnx.inspect import inspect
from foundation.foreign import read_text, reading
from quantize.recipes import recipe

ROLE = "int8"
REPORT = "mobile_usability.json"
_REMEDY = "make the bundle again"
_CONFIG_LINE = re.compile(r"(#.*|!.*|[\w.]+;\d+;[\w,{}\[\]\":. -]*|)", re.ASCII)
_HOW = """\
`.onnx` is for any ONNX Runtime; `.ort` for its mobile packages; the `.config` is what
`build.sh --include_ops_by_config` takes for a build with these operators and types alone."""


def models(folder: Path) -> tuple[Path, ...]:
    """Paths of the .onnx and the .ort in this target's folder."""
    return tuple(sorted(p for p in folder.iterdir() if p.suffix in (".onnx", ".ort")))


def _check(_: Preprocessing) -> None:
    """Accept every contract: the application computes with its numbers."""


def _write(request: BundleRequest, folder: Path) -> None:
    model = folder / f"{request.name}-int8.onnx"
    shutil.copyfile(request.files[ROLE], model)
    write_ort(model, folder)
    (folder / REPORT).write_bytes(_report(mobile_usability(model)))
    request.vectors[ROLE].write(folder / VECTORS, ROLE)
    if request.contract.labels:
        write_labels(request.contract, folder)


def _finish(_request: BundleRequest, _folder: Path, _figures: Figures) -> None:
    """Write nothing: no file depends on a measurement."""


def _data(request: BundleRequest, _figures: Figures) -> tuple[str, ...]:
    stem = f"{request.name}-int8"
    return (f"{stem}.onnx", f"{stem}.ort", f"{stem}{CONFIG}")


def _rebuild(request: BundleRequest, folder: Path, _figures: Figures) -> dict[str, bytes]:
    """Content of labels and report; refuses a list of operators that is unsafe in a build."""
    onnx, _, config = (folder / name for name in _data(request, {}))
    _check_model(onnx)
    rule = "the list of operators has lines such as 'ai.onnx;13;Conv,QuantizeLinear'"
    text = read_text(config, rule, _REMEDY, encoding="ascii")
    with reading(config, rule, _REMEDY):
        if odd := [line for line in text.splitlines() if not _CONFIG_LINE.fullmatch(line)]:
            raise ValueError(odd[0])
    report = folder / REPORT
    rule = "the report of mobile usability is a list of answers in JSON"
    answers = read_text(report, rule, _REMEDY)
    with reading(report, rule, _REMEDY):
        usability = tuple(Usability.from_dict(answer) for answer in json.loads(answers))
    labels = {LABELS: labels_text(request.contract)} if request.contract.labels else {}
    return {**labels, REPORT: _report(usability)}


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
    answers = json.loads((folder / REPORT).read_text(encoding="utf-8"))
    lines = [_HOW, "", "| provider | fit as it is | nodes taken | in parts | not taken |"]
    lines.append("|---|---|---:|---:|---|")
    lines += [
        f"| {a['provider']} | {a['answer']} | {a['nodes']} of {a['all_nodes']} | "
        f"{a['partitions']} | {', '.join(a['unsupported']) or '-'} |"
        for a in answers
    ]
    shape = ", ".join(str(size) for size in contract.shape)
    count, (words, swift, python) = contract.channel_count, _what(contract)
    value = "value" if contract.plain else "pixel"
    names = [(_identifier(name), name) for name in _outputs(folder, request)]
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
        f'let path = Bundle.main.path(forResource: "{request.name}-int8", ofType: "ort")!',
        "let session = try ORTSession(env: env, modelPath: path, sessionOptions: nil)",
        "let input = try ORTValue(tensorData: data, elementType: .float,",
        f"                         shape: [1, {shape}])",
        f'let out = try session.run(withInputs: ["image": input], outputNames: [{quoted}],',
        "                          runOptions: nil)",
        *(f'let {plain} = try out["{name}"]!.tensorData() as Data' for plain, name in names),
        "```",
        "",
        "```python",
        "import numpy as np, onnxruntime",
        f"# {python}",
        f"session = onnxruntime.InferenceSession('{request.name}-int8.onnx')",
        f"image = np.float32({value}s[None]) - np.float32([{_list(contract.mean)}])",
        f"image /= np.float32([{_list(contract.std)}])",
        *_python_outputs(request, [plain for plain, _ in names]),
        "```",
    ]
    return "\n".join(lines)


def _outputs(folder: Path, request: BundleRequest) -> tuple[str, ...]:
    """Names of the outputs of the model in a folder."""
    found = inspect(folder / f"{request.name}-int8.onnx").outputs
    return tuple(tensor.name for tensor in found)


def _identifier(name: str) -> str:
    """Name of a variable in Swift and Python."""
    plain = re.sub(r"\W", "_", name, flags=re.ASCII)
    return plain if plain[:1].isalpha() else f"output_{plain}"


def _python_outputs(request: BundleRequest, names: list[str]) -> list[str]:
    """Lines that run the session, and print the label where the output has one."""
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


BUNDLE = ShipTarget(
    name="onnx-mobile",
    title="ONNX Runtime (mobile, Node, desktop)",
    extra="onnx-mobile",
    files=(ShipFile(ROLE, recipe("onnx-int8"), "onnxruntime"),),
    check=_check,
    write=_write,
    finish=_finish,
    guide=_guide,
    data=_data,
    rebuild=_rebuild,
    proofs=("onnxruntime", "onnxruntime-node"),
    any_outputs=True,
)
