"""Ship targets: registry, proofs without runtimes, metadata and C sources."""

from __future__ import annotations

import io
import tomllib
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from calibration_data.channels import channel_count
from calibration_data.preprocessing import ChannelOrder, Crop, Preprocessing
from edgequant.docs import HOME
from evaluation.proofs.proof import proofs
from export.bundles import c_sources as c
from export.bundles.ethos_u import accelerators
from export.bundles.labels import check_labels
from export.bundles.microcontroller import pixel_table
from export.bundles.target import Vectors, read_vectors, ship_target, ship_targets
from export.bundles.tflite_tasks import (
    Activation,
    TaskFile,
    detection_outputs,
    map_output,
    metadata_buffer,
    scores_output,
    with_task_metadata,
)
from foundation.errors import InvalidInputError, UnsupportedError
from network.affine import IntType, QuantParams

CONTRACT = Preprocessing(size=(5, 7), crop=Crop.STRETCH, labels=("cat", "dog"))


@pytest.mark.parametrize("name", ship_targets())
def test_every_target_has_proofs_that_exist_and_an_extra(name: str) -> None:
    target = ship_targets()[name]
    extras = tomllib.loads((HOME / "pyproject.toml").read_text())["project"][
        "optional-dependencies"
    ]
    assert target.name == name
    assert target.extra in extras
    assert target.files
    assert target.proofs
    assert {*target.proofs, *target.measurements} <= set(proofs())


def test_every_proof_is_of_some_target() -> None:
    used = {n for t in ship_targets().values() for n in (*t.proofs, *t.measurements)}
    assert used == set(proofs())


def test_an_unknown_target_or_configuration_is_named() -> None:
    with pytest.raises(InvalidInputError, match="received ios"):
        ship_target("ios")
    with pytest.raises(InvalidInputError, match="received ethos-u99"):
        accelerators("ethos-u55-128, ethos-u99")


class _Table:
    """Reader of a FlatBuffer table by field numbers, without code generated from a schema."""

    def __init__(self, data: bytes, position: int) -> None:
        import flatbuffers.table

        self._table = flatbuffers.table.Table(bytearray(data), position)

    @classmethod
    def root(cls, data: bytes) -> _Table:
        return cls(data, int.from_bytes(data[:4], "little"))

    def _at(self, field: int) -> int:
        offset = self._table.Offset(4 + 2 * field)
        assert offset, f"field {field} is absent"
        return offset + self._table.Pos

    def text(self, field: int) -> str:
        return self._table.String(self._at(field)).decode()

    def table(self, field: int) -> _Table:
        return _Table(self._table.Bytes, self._table.Indirect(self._at(field)))

    def tables(self, field: int) -> list[_Table]:
        offset = self._at(field) - self._table.Pos
        start, count = self._table.Vector(offset), self._table.VectorLen(offset)
        return [
            _Table(self._table.Bytes, self._table.Indirect(start + 4 * i)) for i in range(count)
        ]

    def floats(self, field: int) -> list[float]:
        offset = self._at(field) - self._table.Pos
        start, count = self._table.Vector(offset), self._table.VectorLen(offset)
        return list(np.frombuffer(bytes(self._table.Bytes[start : start + 4 * count]), "<f4"))

    def wholes(self, field: int) -> list[int]:
        return np.frombuffer(np.array(self.floats(field), "<f4").tobytes(), "<u4").tolist()

    def content(self, field: int) -> bytes:
        offset = self._at(field) - self._table.Pos
        start, count = self._table.Vector(offset), self._table.VectorLen(offset)
        return bytes(self._table.Bytes[start : start + count])

    def byte(self, field: int) -> int:
        return self._table.Bytes[self._at(field)]

    def uint(self, field: int) -> int:
        at = self._at(field)
        return int.from_bytes(self._table.Bytes[at : at + 4], "little")


def task(dtype: str = "float32") -> TaskFile:
    contract = replace(CONTRACT, mean=(100.0,) * 3, std=(50.0,) * 3)
    return TaskFile("m", "A network.", contract, dtype, scores_output(dtype))


def test_metadata_says_what_the_contract_says() -> None:
    data = metadata_buffer(task())
    assert data[4:8] == b"M001"
    model = _Table.root(data)
    assert (model.text(0), model.text(1), model.text(7)) == ("m", "A network.", "1.0.0")
    (subgraph,) = model.tables(3)
    (image,) = subgraph.tables(2)
    content = image.table(3)
    assert content.byte(0) == 2  # ImageProperties
    assert content.table(1).byte(0) == 1  # RGB
    assert (content.table(1).table(1).uint(0), content.table(1).table(1).uint(1)) == (7, 5)
    (unit,) = image.tables(4)
    assert unit.byte(0) == 1  # NormalizationOptions
    assert (unit.table(1).floats(0), unit.table(1).floats(1)) == ([100.0], [50.0])
    low, high = image.table(5).floats(1), image.table(5).floats(0)
    assert (low, high) == ([-2.0], [pytest.approx(3.1)])
    (scores,) = subgraph.tables(3)
    assert scores.table(3).byte(0) == 1  # FeatureProperties
    (labels,) = scores.tables(6)
    assert (labels.text(0), labels.byte(2)) == ("labels.txt", 2)  # TENSOR_AXIS_LABELS


def test_a_detectors_outputs_are_found_by_their_names() -> None:
    """As MediaPipe's detection_postprocessing_graph.cc looks for them."""
    (subgraph,) = _Table.root(metadata_buffer(replace(task(), outputs=detection_outputs()))).tables(
        3
    )
    outputs = subgraph.tables(3)
    assert [output.text(0) for output in outputs] == [
        "location", "category", "score", "number of detections",
    ]  # fmt: skip
    content = outputs[0].table(3)
    assert content.byte(0) == 3  # BoundingBoxProperties
    assert content.table(1).byte(1) == 1  # BOUNDARIES; RATIO is the default of the next field
    assert content.table(1).wholes(0) == [1, 0, 3, 2]
    (labels,) = outputs[1].tables(6)
    assert (labels.text(0), labels.byte(2)) == ("labels.txt", 3)  # TENSOR_VALUE_LABELS
    assert (outputs[2].table(5).floats(1), outputs[2].table(5).floats(0)) == ([0.0], [1.0])


def test_a_segmenters_activation_is_in_a_buffer_of_its_own() -> None:
    of = replace(task(), outputs=map_output(), activation=Activation.SOFTMAX)
    data = metadata_buffer(of)
    (subgraph,) = _Table.root(data).tables(3)
    (labels,) = subgraph.tables(3)[0].tables(6)
    assert labels.byte(2) == 2  # TENSOR_AXIS_LABELS
    (custom,) = subgraph.tables(9)
    assert custom.text(0) == "SEGMENTER_METADATA"
    inner = custom.content(1)
    assert data.index(inner) % 16 == 0  # force_align
    assert inner[4:8] == b"V001"
    assert _Table.root(inner).byte(0) == 2  # SOFTMAX


def test_uint8_metadata_has_the_range_of_pixels() -> None:
    (subgraph,) = _Table.root(metadata_buffer(task("uint8"))).tables(3)
    stats = subgraph.tables(2)[0].table(5)
    assert (stats.floats(1), stats.floats(0)) == ([0.0], [255.0])


def test_labels_are_a_zip_behind_a_model_that_still_runs(tiny_tflite: Path) -> None:
    from ai_edge_litert.interpreter import Interpreter

    from export.tflite.inspect import inspect
    from export.tflite.metadata import read_card

    content = with_task_metadata(tiny_tflite.read_bytes(), task("uint8"), b"cat\ndog\n")
    assert content == with_task_metadata(tiny_tflite.read_bytes(), task("uint8"), b"cat\ndog\n")
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        assert archive.read("labels.txt") == b"cat\ndog\n"
    path = tiny_tflite.with_name("dressed.tflite")
    path.write_bytes(content)
    assert read_card(path) == read_card(tiny_tflite)
    assert inspect(path).size_by_part["metadata"] > inspect(tiny_tflite).size_by_part["metadata"]
    Interpreter(str(path)).allocate_tensors()


@pytest.fixture(scope="module")
def tiny_tflite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A uint8 file calibrated on dark images, so that its input differs from the contract."""
    import keras

    from export.target import ExportRequest, export_targets
    from quantize.recipes import recipe
    from quantize.settings import IoType

    keras.utils.set_random_seed(2)
    image = keras.Input((5, 7, 3))
    x = keras.layers.Conv2D(4, 3, activation="relu")(image)
    model = keras.Model(image, keras.layers.Dense(2)(keras.layers.GlobalAveragePooling2D()(x)))
    dark = np.random.default_rng(0).uniform(-1, 0.2, (8, 5, 7, 3)).astype(np.float32)
    path = tmp_path_factory.mktemp("tiny") / "tiny.tflite"
    request = ExportRequest(
        model, recipe("tflite-int8").with_io(IoType.UINT8), CONTRACT, lambda: iter([dark])
    )
    export_targets()["tflite"].write(request, path)
    return path


def test_a_uint8_input_takes_raw_pixels_whatever_the_calibration_saw(tiny_tflite: Path) -> None:
    from export.bundles.tflite_ends import pixel_input
    from network.tflite.reader import read_flat_model

    def ends(path: Path) -> tuple[float, int]:
        graph = read_flat_model(path).subgraphs[0]
        tensor = graph.tensors[graph.inputs[0]]
        return tensor.scale[0], tensor.zero_point[0]

    assert ends(tiny_tflite)[0] < 0.006  # 1.2 / 255, not 2 / 255
    mended = tiny_tflite.with_name("mended.tflite")
    mended.write_bytes(pixel_input(tiny_tflite.read_bytes(), CONTRACT, tiny_tflite))
    assert ends(mended) == (pytest.approx(1 / 127.5), 128)
    assert pixel_input(mended.read_bytes(), CONTRACT, mended) == mended.read_bytes()
    # Dark pixels, which both files can hold, now give the scores of the contract.
    from evaluation.litert_child import run_file

    def run(path: Path, inputs: np.ndarray) -> np.ndarray:
        outputs = run_file(path, inputs, "litert-reference").outputs
        assert outputs is not None
        return outputs.astype(int)

    pixels = np.random.default_rng(1).integers(0, 140, (6, 5, 7, 3)).astype(np.uint8)
    raw = run(mended, pixels)
    scale, zero_point = ends(tiny_tflite)
    params = QuantParams((scale,), (zero_point,), IntType.UINT8)
    expected = run(tiny_tflite, params.quantize(CONTRACT.normalize(pixels)))
    assert np.abs(raw - expected).max() <= 3
    assert np.abs(run(tiny_tflite, pixels) - expected).max() > 10


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)  # on a busy machine
@given(
    scale=st.floats(1e-3, 0.1),
    zero_point=st.integers(-128, 127),
    mean=st.lists(st.floats(0, 255), min_size=4, max_size=4),
    channels=st.sampled_from([*ChannelOrder, 4]),
)
def test_the_pixel_table_is_what_sessions_do(scale, zero_point, mean, channels) -> None:
    count = channel_count(channels)
    std = (60.0, 70.0, 80.0, 90.0)[:count]
    contract = replace(CONTRACT, mean=tuple(mean[:count]), std=std, channels=channels)
    ends = c.Ends(scale, zero_point, 0.1, 0, 2)
    pixels = np.random.default_rng(0).integers(0, 256, (2, 5, 7, count), np.uint8)
    expected = QuantParams((scale,), (zero_point,)).quantize(contract.normalize(pixels))
    table = pixel_table(contract, ends)
    ordered = pixels[..., ::-1] if channels is ChannelOrder.BGR else pixels
    got = np.stack([table[i][ordered[..., i]] for i in range(count)], axis=-1)
    np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize(
    ("labels", "word"),
    [
        (("a", "b", "c"), "received 3 labels"),
        ((), "received 0 labels"),
        (("a", "Bär"), "B\\\\xe4r"),
    ],
)
def test_labels_that_a_bundle_cannot_carry_are_refused(labels: tuple[str, ...], word: str) -> None:
    with pytest.raises(InvalidInputError, match=word):
        check_labels(CONTRACT.with_labels(labels), 2)


def test_an_operator_without_a_kernel_is_named() -> None:
    with pytest.raises(UnsupportedError, match="received CUSTOM_X"):
        c.operators_header("m", ("ADD", "CUSTOM_X"))


@pytest.mark.parametrize(
    ("name", "expected"),
    [("My Net-1", "my_net_1"), ("2fast", "model_2fast"), ("é", "model_"), ("class", "model_class")],
)
def test_names_become_identifiers(name: str, expected: str) -> None:
    assert c.identifier(name) == expected


def test_label_strings_survive_a_compiler() -> None:
    contract = CONTRACT.with_labels(('say "hi" ??/', "back\\slash"))
    source = c.contract_source("m", contract, np.zeros((3, 256), np.int8))
    assert r'"say \"hi\" \?\?/"' in source
    assert r'"back\\slash"' in source


def test_vectors_come_back_as_they_were(tmp_path: Path) -> None:
    inputs = np.arange(12, dtype=np.int8).reshape(2, 6)
    Vectors(inputs, inputs.astype(np.float32), "r").write(tmp_path, "x")
    again = read_vectors(tmp_path, "x")
    np.testing.assert_array_equal(again.inputs, inputs)
    assert again.outputs.dtype == np.float32
    (tmp_path / "x.outputs.bin").write_bytes(b"123")
    with pytest.raises(InvalidInputError, match="test vectors"):
        read_vectors(tmp_path, "x")
