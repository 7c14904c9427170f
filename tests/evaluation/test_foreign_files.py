"""Foreign TFLite, ONNX and plan files: pipes, other files, deep cards, odd operators."""

from __future__ import annotations

import json
import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from evaluation.parity.compare import compare_files
from evaluation.parity.onnx_steps import onnx_steps
from evaluation.session import runtimes
from export.onnx.runtime import open_session
from export.target import CARD_KEY, target_of
from foundation.digests import sha256_of
from foundation.errors import InvalidInputError, UnsupportedError
from network.affine import QuantParams
from network.graph import Op
from network.oracle.call import MOST_ELEMENTS
from network.oracle.model import IntegerTensor, Operators
from network.oracle.reader import read_integers, read_operators
from network.tflite.reader import read_flat_model
from quantize.plans.plan import QuantizationPlan
from tests.fuzz.parsers import PARSERS

ROWS = {parser.name: parser for parser in PARSERS}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A plan and the two int8 files of one network."""
    root = tmp_path_factory.mktemp("files")
    for name in ("plan", "tflite", "onnx"):
        ROWS[name].sample(root / f"net.{name}")
    return root


# Named pipes

READERS: dict[str, tuple[str, Callable[[Path], object]]] = {
    "flat model": (".tflite", read_flat_model),
    "integers": (".tflite", read_integers),
    "operators": (".tflite", read_operators),
    "inspect tflite": (".tflite", lambda path: target_of(path).inspect(path)),
    "card of a tflite": (".tflite", lambda path: target_of(path).read_card(path)),
    "inspect onnx": (".onnx", lambda path: target_of(path).inspect(path)),
    "card of an onnx": (".onnx", lambda path: target_of(path).read_card(path)),
    "steps": (".onnx", onnx_steps),
    "plan": (".plan", QuantizationPlan.load),
    "digest": (".tflite", sha256_of),
    **{
        name: (runtime.suffixes[0], lambda path, r=runtime: r.open(path, 1))  # type: ignore[misc]
        for name, runtime in runtimes().items()
        if runtime.suffixes[0] in (".tflite", ".onnx")
    },
}


@pytest.mark.parametrize("name", READERS)
def test_a_named_pipe_is_not_opened(tmp_path: Path, name: str) -> None:
    suffix, read = READERS[name]
    path = tmp_path / f"net{suffix}"
    os.mkfifo(path)
    with pytest.raises(InvalidInputError, match="a named pipe"):
        read(path)


# ONNX


def _onnx(folder: Path, path: Path, edit: Callable[[Any], None]) -> Path:
    import onnx

    model = onnx.load(folder / "net.onnx")
    edit(model)
    path.write_bytes(model.SerializeToString())
    return path


def _outside(model: Any) -> None:
    from onnx import TensorProto

    tensor = max(model.graph.initializer, key=lambda t: len(t.raw_data))
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="/etc/passwd")


def test_values_in_another_file_are_not_read(folder: Path, tmp_path: Path) -> None:
    path = _onnx(folder, tmp_path / "net.onnx", _outside)
    with pytest.raises(UnsupportedError, match=r"net\.onnx with .* in another file"):
        compare_files(folder / "net.tflite", path)
    with pytest.raises(UnsupportedError, match=r"net\.onnx with .* in another file"):
        target_of(path).inspect(path)


def test_a_graph_that_goes_in_a_circle_has_an_end(folder: Path, tmp_path: Path) -> None:
    def circle(model: Any) -> None:
        from onnx import helper

        for node in model.graph.node:
            node.input[:] = ["nothing" if name == "image" else name for name in node.input]
        model.graph.node.append(helper.make_node("Relu", ["image"], ["round"]))
        model.graph.node.append(helper.make_node("Relu", ["round"], ["image"]))

    whole = onnx_steps(_onnx(folder, tmp_path / "whole.onnx", lambda _model: None))
    steps = onnx_steps(_onnx(folder, tmp_path / "net.onnx", circle))
    assert [step.name for step in steps] == [step.name for step in whole]
    assert whole[0].result is not None
    assert steps[0].result is None


@pytest.mark.parametrize("card", ["[" * 100_000, "[]", "{", '{"preprocessing": 1, "recipe": []}'])
def test_a_deep_card_is_one_sentence(folder: Path, tmp_path: Path, card: str) -> None:
    def deep(model: Any) -> None:
        next(p for p in model.metadata_props if p.key == CARD_KEY).value = card

    path = _onnx(folder, tmp_path / "net.onnx", deep)
    with pytest.raises(InvalidInputError, match=r"metadata entry.*net\.onnx"):
        target_of(path).read_card(path)


def test_a_message_that_is_no_text_is_one_sentence(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import onnxruntime

    def fail(*_: object, **__: object) -> None:
        b"\xff\xfe".decode("utf-8")

    monkeypatch.setattr(onnxruntime, "InferenceSession", fail)
    with pytest.raises(UnsupportedError, match="load the file"):
        open_session(b"")
    with pytest.raises(InvalidInputError, match="can load and run"):
        runtimes()["onnxruntime"].open(folder / "net.onnx", 1)


# The integer interpreter

SCALE = QuantParams((0.5,), (0,))


def _operators(kind: str, options: dict[str, Any], *inputs: IntegerTensor) -> Operators:
    op = Op(kind, tuple(tensor.name for tensor in inputs), ("y",), options)
    result = IntegerTensor("y", (1, 4, 4, 2), "int8", SCALE)
    return Operators((op,), {tensor.name: tensor for tensor in (*inputs, result)})


def _image() -> IntegerTensor:
    return IntegerTensor("x", (1, 4, 4, 2), "int8", SCALE)


def _stored(value: np.ndarray, params: QuantParams | None = SCALE) -> IntegerTensor:
    return IntegerTensor("w", value.shape, value.dtype.name, params, value)


WINDOW = {
    "dilationHFactor": 1, "dilationWFactor": 1, "strideH": 1, "strideW": 1, "padding": 0,
    "filterHeight": 2, "filterWidth": 2, "fusedActivationFunction": 0,
}  # fmt: skip
KERNEL = np.ones((2, 3, 3, 2), np.int8)

ODD: dict[str, tuple[str, dict[str, Any], list[IntegerTensor]]] = {
    "no options": ("CONV_2D", {}, [_image(), _stored(KERNEL)]),
    "a stride of 0": ("CONV_2D", WINDOW | {"strideH": 0}, [_image(), _stored(KERNEL)]),
    "a dilation of 10^9": (
        "CONV_2D", WINDOW | {"dilationHFactor": 10**9}, [_image(), _stored(KERNEL)],
    ),
    "a weight of two axes": ("CONV_2D", WINDOW, [_image(), _stored(KERNEL[0, 0])]),
    "no weight": ("DEPTHWISE_CONV_2D", WINDOW, [_image()]),
    "a window of 10^9": ("MAX_POOL_2D", WINDOW | {"filterHeight": 10**9}, [_image()]),
    "no window": ("AVERAGE_POOL_2D", WINDOW | {"filterHeight": 0}, [_image()]),
    "margins of 10^9": ("PAD", {}, [_image(), _stored(np.full((4, 2), 10**9, np.int32), None)]),
    "margins below 0": ("PAD", {}, [_image(), _stored(np.full((4, 2), -9, np.int32), None)]),
    "an axis that is not there": ("CONCATENATION", {"axis": 9}, [_image()]),
    "another permutation": ("TRANSPOSE", {}, [_image(), _stored(np.zeros(4, np.int32), None)]),
    "steps of 0": (
        "STRIDED_SLICE",
        {"beginMask": 0, "endMask": 0, "shrinkAxisMask": 0},
        [_image(), *(_stored(np.zeros(4, np.int32), None) for _ in range(3))],
    ),
    "a product of all with all": (
        "MUL", {}, [_image(), _stored(np.zeros((10**7, 1, 1, 1, 1), np.int8))],
    ),
    "no beta": ("SOFTMAX", {}, [_image()]),
}  # fmt: skip


@pytest.mark.parametrize("name", ODD)
def test_odd_operators_are_one_sentence(name: str) -> None:
    kind, options, inputs = ODD[name]
    network = _operators(kind, options, *inputs)
    with pytest.raises(InvalidInputError, match=kind):
        network.run({"x": np.ones((1, 4, 4, 2), np.int8)})


def test_shapes_of_gigabytes_are_refused_when_a_file_is_read(folder: Path, tmp_path: Path) -> None:
    from ai_edge_litert.tools import flatbuffer_utils

    model = flatbuffer_utils.read_model(str(folder / "net.tflite"))
    graph = model.subgraphs[0]
    graph.tensors[graph.inputs[0]].shape = [1, 1 << 20, 1 << 20, 3]
    path = tmp_path / "net.tflite"
    path.write_bytes(bytes(flatbuffer_utils.convert_object_to_bytearray(model)))
    with pytest.raises(UnsupportedError, match=f"at most {MOST_ELEMENTS:,} numbers"):
        read_integers(path)


@pytest.mark.parametrize("field", ["inputs", "outputs"])
def test_operators_without_ends_are_one_sentence(folder: Path, tmp_path: Path, field: str) -> None:
    from ai_edge_litert.tools import flatbuffer_utils

    model = flatbuffer_utils.read_model(str(folder / "net.tflite"))
    setattr(model.subgraphs[0].operators[1], field, None)
    path = tmp_path / "net.tflite"
    path.write_bytes(bytes(flatbuffer_utils.convert_object_to_bytearray(model)))
    with pytest.raises(InvalidInputError):
        ROWS["oracle"].read(path)


# Plans


def _plan(folder: Path, path: Path, members: dict[str, bytes], kind: int) -> Path:
    with zipfile.ZipFile(folder / "net.plan") as source:
        contents = {name: source.read(name) for name in source.namelist()} | members
    with zipfile.ZipFile(path, "w", kind) as target:
        for name, content in contents.items():
            target.writestr(name, content)
    return path


def _array(header: str, content: bytes = b"") -> bytes:
    text = header.ljust(117).encode() + b"\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + content


@pytest.mark.parametrize(
    "member",
    [
        b"",
        b"hello",
        _array("{'descr': '|i1', 'fortran_order': False, 'shape': (1000000000000,)}"),
        _array("{'descr': ((("),
        _array("{'descr': '|O', 'fortran_order': False, 'shape': (1,)}", bytes(8)),
        bytes(100 << 20),
    ],
    ids=["empty", "text", "10^12", "brackets", "objects", "bomb"],
)
def test_a_plan_of_odd_members_is_one_sentence(folder: Path, tmp_path: Path, member: bytes) -> None:
    path = _plan(folder, tmp_path / "a.plan", {"i.0.npy": member}, zipfile.ZIP_DEFLATED)
    with pytest.raises(InvalidInputError, match=r"archive of the format.*a\.plan"):
        QuantizationPlan.load(path)


def test_a_plan_of_another_compression_is_one_sentence(folder: Path, tmp_path: Path) -> None:
    path = _plan(folder, tmp_path / "a.plan", {}, zipfile.ZIP_BZIP2)
    with pytest.raises(InvalidInputError, match=r"a\.plan .*another method than deflate"):
        QuantizationPlan.load(path)
    assert json.dumps(QuantizationPlan.load(folder / "net.plan").graph)


def test_signatures_that_share_their_tables_are_bounded(folder: Path, tmp_path: Path) -> None:
    """Each of N signatures may name the same M tensors: N times M objects of a small file."""
    from ai_edge_litert import schema_py_generated as schema
    from ai_edge_litert.tools import flatbuffer_utils

    class Shared(schema.SignatureDefT):
        """Pack the tensors once for any number of signatures."""

        place: int | None = None

        def Pack(self, builder: Any) -> int:  # noqa: N802 - the name the packer calls
            self.place = super().Pack(builder) if self.place is None else self.place
            return self.place

    model = flatbuffer_utils.read_model(str(folder / "net.tflite"))
    signature = Shared()
    signature.signatureKey = b"k" * 2000
    signature.inputs, signature.outputs = [], []
    model.signatureDefs = [signature] * 2000
    path = tmp_path / "net.tflite"
    path.write_bytes(bytes(flatbuffer_utils.convert_object_to_bytearray(model)))
    assert path.stat().st_size < 100_000
    with pytest.raises(InvalidInputError, match="parts overlap"):
        read_integers(path)
