from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from export.target import CARD_KEY
from export.tflite.target import TARGET
from foundation.errors import InvalidInputError
from network.tflite.reader import read_flat_model
from quantize.recipes import Recipe, recipe
from quantize.settings import Optimization
from tests.export.tflite.tflite_cases import RECIPES_HERE, label


@pytest.fixture
def written(tflite_files):
    return {each.name: tflite_files[label(each)] for each in RECIPES_HERE}


@pytest.mark.parametrize("each", RECIPES_HERE, ids=label)
def test_the_parts_sum_to_the_file(written: dict[str, Path], each: Recipe) -> None:
    path = written[each.name]
    found = TARGET.inspect(path)
    parts = found.size_by_part
    assert found.format == "tflite"
    assert found.size_bytes == path.stat().st_size == sum(parts.values())
    assert min(parts.values()) >= 0
    # Equal vectors are stored once.
    scales = {t.scale for t in found.tensors}
    zero_points = {t.zero_point for t in found.tensors}
    assert parts["quantization"] == sum(4 * len(s) for s in scales) + sum(
        8 * len(z) for z in zero_points
    )
    assert parts["names"] == sum(len(t.name) for t in found.tensors)
    assert parts["metadata"] >= len(read_flat_model(path).metadata[CARD_KEY])
    assert parts["weights"] > parts["other"] > 0


def test_weights_take_the_bytes_that_their_types_say(written: dict[str, Path]) -> None:
    sizes = {name: TARGET.inspect(path).size_by_part["weights"] for name, path in written.items()}
    assert sizes["tflite-float32"] / sizes["tflite-float16"] == pytest.approx(2, rel=0.02)
    assert 3 < sizes["tflite-float32"] / sizes["tflite-int8"] < 4


@pytest.mark.parametrize("each", RECIPES_HERE, ids=label)
def test_tensors_are_what_litert_says(written: dict[str, Path], each: Recipe) -> None:
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    interpreter = Interpreter(
        str(written[each.name]),
        experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
    )
    interpreter.allocate_tensors()
    details = {d["index"]: d for d in interpreter.get_tensor_details()}
    tensors = TARGET.inspect(written[each.name]).tensors
    for index, tensor in enumerate(tensors):
        detail = details[index]
        assert tensor.name == detail["name"]
        told = "int8" if tensor.dtype == "int4" else tensor.dtype  # NumPy has no 4 bits
        assert told == np.dtype(detail["dtype"]).name
        assert tensor.shape == tuple(detail["shape"])
        assert tensor.scale == tuple(detail["quantization_parameters"]["scales"].tolist())
        assert tensor.zero_point == tuple(detail["quantization_parameters"]["zero_points"].tolist())


@pytest.mark.parametrize("each", RECIPES_HERE, ids=label)
def test_operators_are_counted_by_type(written: dict[str, Path], each: Recipe) -> None:
    found = {(o.name, o.compute): o.count for o in TARGET.inspect(written[each.name]).operators}
    integers = {"int4": "int8", "int8": "int8", "int8-per-tensor": "int8", "int16x8": "int16"}
    inside = integers.get(each.name.removeprefix("tflite-"), "float32")
    assert found["ADD", inside] == 1
    assert sum(n for (name, _), n in found.items() if name == "CONV_2D") == 7
    assert sum(n for (name, _), n in found.items() if name == "DEPTHWISE_CONV_2D") == 3
    if each.name == "tflite-dynamic":
        # 48x8, 8x48: below 1024 weights; the last convolution and the classifier are above.
        assert found["CONV_2D", "hybrid"] == 1
        assert found["FULLY_CONNECTED", "hybrid"] == 1
    if each.name == "tflite-float16":
        assert found["DEQUANTIZE", "float16"] > 10


def test_names_are_short_and_ends_have_names_of_their_own(written: dict[str, Path]) -> None:
    found = TARGET.inspect(written["tflite-int8"])
    assert (found.inputs[0].name, found.outputs[0].name) == ("image", "scores")
    names = [tensor.name for tensor in found.tensors]
    assert len(set(names)) == len(names)
    assert max(map(len, names)) < 80
    assert any("expanded_conv_depthwise" in name for name in names)


def test_the_format_version_is_given(written: dict[str, Path]) -> None:
    assert TARGET.inspect(written["tflite-int8"]).opset.startswith("schema 3, runtime ")


def test_an_appended_zip_counts_as_metadata(written: dict[str, Path], tmp_path: Path) -> None:
    path = tmp_path / "a.tflite"
    content = written["tflite-int8"].read_bytes()
    path.write_bytes(content)
    before = TARGET.inspect(path).size_by_part
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("labels.txt", "one\ntwo\n")
    added = path.stat().st_size - len(content)
    after = TARGET.inspect(path).size_by_part
    assert after == {**before, "metadata": before["metadata"] + added}
    assert TARGET.read_card(path) is not None


def _with_metadata(content, name, value):
    from ai_edge_litert.schema_py_generated import BufferT, MetadataT
    from ai_edge_litert.tools import flatbuffer_utils

    model = flatbuffer_utils.read_model_from_bytearray(content)
    model.metadata = [m for m in model.metadata if m.name != CARD_KEY.encode()]
    if value is not None:
        model.metadata.append(MetadataT(name=name, buffer=len(model.buffers)))
        model.buffers.append(BufferT(data=np.frombuffer(value, np.uint8)))
    return bytes(flatbuffer_utils.convert_object_to_bytearray(model))


def test_a_foreign_file_has_no_card(written: dict[str, Path], tmp_path: Path) -> None:
    path = tmp_path / "a.tflite"
    path.write_bytes(_with_metadata(written["tflite-float32"].read_bytes(), CARD_KEY, None))
    assert TARGET.read_card(path) is None
    assert TARGET.inspect(path).operators


@pytest.mark.parametrize(
    "value",
    [b"no json", b"[]", b"{}", b"\xff\xfe", b'{"preprocessing":{},"recipe":{}}', b"[" * 100_000],
    ids=["text", "list", "empty", "binary", "keys", "deep"],
)
def test_a_damaged_card_is_refused(written: dict[str, Path], tmp_path: Path, value: Any) -> None:
    path = tmp_path / "a.tflite"
    path.write_bytes(_with_metadata(written["tflite-float32"].read_bytes(), CARD_KEY, value))
    with pytest.raises(InvalidInputError):
        TARGET.read_card(path)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"TFL3",
        b"\0" * 64,
        b"PK\x03\x04" + b"x" * 100,
        b"\x10\0\0\0TFL3",
        b"\xff" * 4 + b"TFL3",
    ],
    ids=["empty", "short", "zeros", "zip", "cut", "astray"],
)
def test_no_tflite_file_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.tflite"
    path.write_bytes(content)
    with pytest.raises(InvalidInputError):
        TARGET.inspect(path)


def test_a_missing_file_and_a_folder_are_refused(tmp_path: Path) -> None:
    for path in (tmp_path / "none.tflite", tmp_path):
        with pytest.raises(InvalidInputError, match="can be read"):
            TARGET.inspect(path)


def _damaged(content, rng):
    """Cut a file, flip bits or repeat one byte, mostly in the tables at its beginning."""
    data = bytearray(content)
    kind = rng.integers(3)
    if kind == 0:
        return bytes(data[: rng.integers(len(data))])
    front = 20_000 if rng.integers(4) else len(data)
    for _ in range(rng.integers(1, 20)):
        at = int(rng.integers(min(front, len(data))))
        if kind == 1:
            data[at] ^= 1 << int(rng.integers(8))
        else:
            data[at : at + 4] = int(rng.integers(2**32)).to_bytes(4, "little")
    return bytes(data)


def test_damaged_files_are_read_or_refused(written: dict[str, Path], tmp_path: Path) -> None:
    rng = np.random.default_rng(11)
    content = written["tflite-int8"].read_bytes()
    path = tmp_path / "a.tflite"
    refused = 0
    for _ in range(300):
        path.write_bytes(_damaged(content, rng))
        try:
            found = TARGET.inspect(path)
            TARGET.read_card(path)
        except InvalidInputError:
            refused += 1
        else:
            assert sum(found.size_by_part.values()) == found.size_bytes
    assert 100 < refused < 300


def test_a_zip_that_is_damaged_is_no_metadata(written: dict[str, Path], tmp_path: Path) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("labels.txt", "one")
    path = tmp_path / "a.tflite"
    path.write_bytes(written["tflite-int8"].read_bytes() + buffer.getvalue()[:-10])
    found = TARGET.inspect(path)
    assert sum(found.size_by_part.values()) == found.size_bytes
    assert recipe("tflite-int8").with_effort(Optimization.FAST) == TARGET.read_card(path).recipe
