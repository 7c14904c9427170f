"""The parsers of foreign bytes: a valid sample that the project itself makes, and its reader.

A new parser is one row of ``PARSERS``.
"""

from __future__ import annotations

import io
import json
import shutil
import tarfile
import tempfile
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

Sample = Callable[[Path], object]


@dataclass(frozen=True)
class Parser:
    """One reader of the product.

    Attributes:
        name: of the row.
        file: name of the file that it reads, with the suffix that the product asks for.
        sample: writes a valid file at a path.
        read: the product's entry; reads the file at a path.
        heavy: needs a framework or a C parser that may end the process: left out of the quick test.
    """

    name: str
    file: str
    sample: Sample = field(repr=False)
    read: Callable[[Path], object] = field(repr=False)
    heavy: bool = False


def _pixels(count: int = 6, side: int = 5) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, side, side, 3), np.uint8)


def _npz(path: Path) -> None:
    np.savez_compressed(path, images=_pixels(), labels=np.arange(6))


def _read_images(path: Path) -> object:
    from calibration_data.datasets.base import open_dataset

    dataset = open_dataset(str(path))
    return [np.asarray(dataset.decode(i)) for i in range(len(dataset))]


def _shard(path: Path) -> None:
    for name in (path.name, "other.npz"):
        np.savez(path.with_name(name), images=_pixels(), labels=np.arange(6))


def _read_shards(path: Path) -> object:
    return _read_images(path.parent)


def _tar(path: Path) -> None:
    _image(path.parent / "0.png")
    with tarfile.open(path, "w") as tar:
        tar.add(path.parent / "0.png", "0.png")
        label = tarfile.TarInfo("0.cls")
        label.size = 1
        tar.addfile(label, io.BytesIO(b"7"))


def _npy(path: Path) -> None:
    np.save(path, _pixels())


def _list(path: Path) -> None:
    names = [f"{number}.png" for number in range(3)]
    for name in names:
        _image(path.parent / name)
    path.write_text("\n".join(names) + "\n", encoding="utf-8")


def _label_csv(path: Path) -> None:
    _list(path)
    names = path.read_text(encoding="utf-8").splitlines()
    lines = ["file,label", *(f"{name},class {name}" for name in names)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _label_json(path: Path) -> None:
    _list(path)
    names = path.read_text(encoding="utf-8").splitlines()
    labels = {name: number for number, name in enumerate(names)}
    path.write_text(json.dumps(labels), encoding="utf-8")


def _target_csv(path: Path) -> None:
    _list(path)
    names = path.read_text(encoding="utf-8").splitlines()
    lines = ["file,age,glad", *(f"{name},{number}.5,1" for number, name in enumerate(names))]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _target_json(path: Path) -> None:
    _list(path)
    names = path.read_text(encoding="utf-8").splitlines()
    rows = {name: {"age": number + 0.5, "glad": 1} for number, name in enumerate(names)}
    path.write_text(json.dumps(rows), encoding="utf-8")


def _read_boxes(path: Path) -> object:
    from calibration_data.datasets.base import open_dataset

    dataset = open_dataset(str(path))
    assert dataset.boxes is not None
    return [dataset.boxes.of(i) for i in range(len(dataset))]


def _coco(path: Path) -> None:
    _image(path.parent / "0.png")
    values = {
        "images": [{"id": 1, "file_name": "0.png", "width": 24, "height": 24}],
        "annotations": [
            {"id": 1, "image_id": 1, "category_id": 3, "bbox": [2, 3, 4.5, 6], "area": 20}
        ],
        "categories": [{"id": 3, "name": "dog"}],
    }
    path.write_text(json.dumps(values), encoding="utf-8")


def _coco_masks(path: Path) -> None:
    _image(path.parent / "0.png")
    runs = {"counts": [100, 30, 446], "size": [24, 24]}
    values = {
        "images": [{"id": 1, "file_name": "0.png", "width": 24, "height": 24}],
        "annotations": [
            {"image_id": 1, "category_id": 3, "segmentation": [[2, 2, 9, 2, 9, 9, 2, 9]]},
            {"image_id": 1, "category_id": 5, "iscrowd": 1, "segmentation": runs},
        ],
        "categories": [{"id": 3, "name": "dog"}, {"id": 5, "name": "cat"}],
    }
    path.write_text(json.dumps(values), encoding="utf-8")


def _read_coco_masks(path: Path) -> object:
    from calibration_data.coco_masks import read_coco_masks

    found = read_coco_masks(path)
    return [found.mask(i) for i in range(len(found.images))]


def _mask(path: Path) -> None:
    from PIL import Image

    image = Image.fromarray(np.arange(144, dtype=np.uint8).reshape(12, 12) % 3)
    image.putpalette(list(range(256)) * 3)
    image.save(path)


def _read_mask(path: Path) -> object:
    from calibration_data.mask_files import read_mask

    return read_mask(path)


def _voc(path: Path) -> None:
    _image(path.with_suffix(".png"))
    path.write_text(
        "<annotation><size><width>24</width><height>24</height></size><object><name>dog</name>"
        "<bndbox><xmin>2</xmin><ymin>3</ymin><xmax>9</xmax><ymax>20</ymax></bndbox></object>"
        "</annotation>",
        encoding="utf-8",
    )


def _read_voc(path: Path) -> object:
    return _read_boxes(path.parent)


def _yolo(path: Path) -> None:
    path.write_text("0 0.5 0.5 0.25 0.5\n1 0.4 0.4 0.3 0.3\n", encoding="utf-8")


def _read_yolo(path: Path) -> object:
    with tempfile.TemporaryDirectory(dir=path.parent) as name:
        folder = Path(name)
        for inside in ("images", "labels"):
            (folder / inside).mkdir()
        _image(folder / "images/0.png")
        (folder / "classes.txt").write_text("dog\ncat\n", encoding="utf-8")
        shutil.copy(path, folder / "labels/0.txt")
        return _read_boxes(folder)


def _names(path: Path) -> None:
    path.write_text("train: images\nnc: 2\nnames:\n  0: dog\n  1: 'cat'\n", encoding="utf-8")


def _read_names(path: Path) -> object:
    from calibration_data.datasets.yolo import class_names

    return class_names(path.parent, path.parent)


def _idx(path: Path) -> None:
    from calibration_data.datasets.idx import idx_bytes

    path.write_bytes(idx_bytes(_pixels()[..., 0]))


def _read_idx(path: Path) -> object:
    from calibration_data.datasets.idx import read_idx

    return read_idx(path)


def _toml(path: Path) -> None:
    path.write_text(
        "size = [8, 8]\nresize_short_side = 9\ncrop = 'center'\ninterpolation = 'bilinear'\n"
        "channels = 'rgb'\nmean = [127.5, 127.5, 127.5]\nstd = 64\nlabels = ['a', 'b']\n"
        "task = 'binary'\nthreshold = 0.5\n[outputs.age]\ntask = 'regression'\n",
        encoding="utf-8",
    )


def _read_toml(path: Path) -> object:
    from calibration_data.contract_file import read_contract

    return read_contract(path)


def _sweep(path: Path) -> None:
    path.write_text(
        'data = "images.npz:test"\nrecipes = ["tflite-int8"]\nsamples = [8, 16]\nlimit = 5\n'
        '[[models]]\nmodel = "mobilenet_v2"\nalphas = [0.35, 1]\nmean = [1, 2.5, 3]\n'
        "[gates]\nmax_drop = 1.5\n",
        encoding="utf-8",
    )


def _sweep_json(path: Path) -> None:
    values = {"data": "a:test", "recipes": "onnx-int8", "models": ["mobilenet_v2"], "seeds": [1]}
    path.write_text(json.dumps(values), encoding="utf-8")


def _read_sweep(path: Path) -> object:
    from edgequant.sweeping.plan import read_plan

    return read_plan(path)


def _labels(path: Path) -> None:
    path.write_text("tench\ngoldfish\ngreat white shark\n", encoding="utf-8")


def _read_labels(path: Path) -> object:
    from calibration_data.contract_file import read_labels

    return read_labels(path)


def _image(path: Path) -> None:
    from PIL import Image

    Image.fromarray(_pixels(1, 24)[0]).save(path)


def _read_image(path: Path) -> object:
    from calibration_data.image_files import decode_file, header_conversions

    return header_conversions(path), np.asarray(decode_file(path))


def _model(path: Path) -> None:
    from tests.models.networks import classifier

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # Keras's advice on legacy files
        classifier().save(path)


def _legacy_model(path: Path) -> None:
    from tests.models.loading.legacy_configs import small, write

    write(path, *small())


def _read_model(path: Path) -> object:
    from models.loading.request import ModelRequest, load

    return load(ModelRequest(str(path)))


def _read_layers(path: Path) -> object:
    from models.loading.stored_network import stored_network
    from network.keras_file.reader import read_graph

    stored = stored_network(path)
    return None if stored is None else read_graph(stored.config, stored.weights)


def _weights(path: Path) -> None:
    from tests.models.networks import tiny_spec

    spec = tiny_spec()
    spec.build(spec).save_weights(path)


def _read_weights(path: Path) -> object:
    from models.weights.named import build_with_weights
    from tests.models.networks import tiny_spec

    return build_with_weights(tiny_spec(), str(path))


def _state(path: Path) -> None:
    from tests.models.weights.torch_files import View, archive

    archive(path, {"a": View(np.arange(12, dtype=np.float32).reshape(3, 4), "0")})


def _legacy_state(path: Path) -> None:
    from tests.models.weights.torch_files import View, legacy

    path.write_bytes(legacy({"a": View(np.arange(12, dtype=np.float32).reshape(3, 4), "0")}))


def _read_state(path: Path) -> object:
    from models.weights.torch_reader import read_torch_weights

    return read_torch_weights(path)


def _tfjs(path: Path) -> None:
    from tests.models.weights.tfjs_files import Tfjs, write

    made = Tfjs()
    kernel = made.constant("kernel", np.arange(12, dtype=np.float32).reshape(1, 1, 3, 4))
    x = made.node("Conv2D", "conv", ["image", kernel])
    norm = [made.constant(name, np.ones(4, np.float32)) for name in ("g", "b", "m", "v")]
    x = made.node("FusedBatchNormV3", "norm", [x, *norm], epsilon={"f": 0.001})
    made.node("Relu6", "relu", [x])
    write(path.parent, made, shards=2, quantized={"kernel": "uint8"})


def _read_tfjs(path: Path) -> object:
    from models.weights.tfjs_layers import tfjs_layers

    return tfjs_layers(path.parent)


def _plan(path: Path) -> None:
    from tests.network.graphs import planned

    planned().plan.save(path)


def _read_plan(path: Path) -> object:
    from quantize.plans.plan import QuantizationPlan

    return QuantizationPlan.load(path)


def _tflite(path: Path) -> None:
    from calibration_data.preprocessing import Crop, Preprocessing
    from export.target import ArtifactCard
    from export.tflite.metadata import finish
    from export.tflite.render import render
    from quantize.recipes import recipe
    from quantize.settings import IoType
    from tests.network.graphs import planned

    network = planned()
    card = ArtifactCard(Preprocessing((8, 8), Crop.PAD), recipe("tflite-int8"))
    path.write_bytes(finish(render(network.graph, network.plan, IoType.FLOAT32), card))


def _read_tflite(path: Path) -> object:
    from export.target import target_of

    return target_of(path).inspect(path), target_of(path).read_card(path)


def _float_tflite(path: Path) -> None:
    from network.run_litert import network_of
    from tests.network.graphs import bottlenecks

    graph = bottlenecks(0)
    path.write_bytes(network_of(graph, graph.ops).content)


def _read_canonical(path: Path) -> object:
    from network.tflite.canonical import canonical_graph

    return canonical_graph(path.read_bytes())


def _load_tflite(path: Path) -> object:
    from edgequant.loading import load
    from models.loading.request import ModelRequest

    return load(ModelRequest(str(path)))


def _load_integers(path: Path) -> object:
    from edgequant.loading import layers_in

    return layers_in(path)


def _run_oracle(path: Path) -> object:
    from evaluation.session import runtimes

    session = runtimes()["oracle"].open(path, 1)
    return session.predict(np.zeros((1, 8, 8, 3), np.float32))


def _onnx(path: Path) -> None:
    from calibration_data.preprocessing import Crop, Preprocessing
    from export.onnx.graph import to_model
    from export.onnx.render import render
    from export.target import CARD_KEY, ArtifactCard
    from quantize.recipes import recipe
    from quantize.settings import Layout
    from tests.network.graphs import planned

    network = planned()
    model = to_model(render(network.graph, network.plan, Layout.NHWC))
    card = ArtifactCard(Preprocessing((8, 8), Crop.PAD), recipe("onnx-int8"))
    model.metadata_props.add(key=CARD_KEY, value=json.dumps(card.to_dict()))
    path.write_bytes(model.SerializeToString(deterministic=True))


def _read_onnx(path: Path) -> object:
    from export.target import target_of

    return target_of(path).inspect(path), target_of(path).read_card(path)


def _read_steps(path: Path) -> object:
    from evaluation.parity.onnx_steps import onnx_steps

    return onnx_steps(path)


def _bundle(path: Path) -> None:
    from calibration_data.preprocessing import Crop, Preprocessing
    from edgequant.ship.bundle import MANIFEST, pack, write_sums
    from export.bundles.target import ship_target

    target = ship_target("onnx-mobile")
    contract = Preprocessing((8, 8), Crop.PAD, labels=("a", "b")).to_dict()
    later = [name for name in target.proofs if name not in target.measurements]
    entry = {
        "title": target.title,
        "files": {file.role: {"preprocessing": contract} for file in target.files},
        "proofs": [
            {"name": name, "verdict": "not run", "sentence": "no runtime", "figures": {}}
            for name in (*target.measurements, *later)
        ],
    }
    manifest = {
        "bundle": 1,
        "model": "net",
        "preprocessing": contract,
        "vectors": {"images": 1},
        "targets": {target.name: entry},
        "key": "",
    }

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "net-ship"
        (folder / "android").mkdir(parents=True)
        (folder / MANIFEST).write_text(json.dumps(manifest), encoding="utf-8")
        (folder / "android" / "labels.txt").write_text("a\nb\n", encoding="utf-8")
        write_sums(folder)
        pack(folder, path)


def _read_bundle(path: Path) -> object:
    from edgequant.ship.archive import unpack
    from edgequant.ship.bundle import changed_files
    from edgequant.ship.manifest import read_manifest

    place = Path(tempfile.mkdtemp(dir=path.parent))
    try:
        folder = unpack(path, place)
        return read_manifest(folder), changed_files(folder)
    finally:
        shutil.rmtree(place)


def _images() -> tuple[Parser, ...]:
    from calibration_data.image_files import IMAGE_SUFFIXES

    return tuple(
        Parser(f"image{suffix}", f"picture{suffix}", _image, _read_image)
        for suffix in IMAGE_SUFFIXES
    )


PARSERS = (
    Parser("npz", "data.npz", _npz, _read_images),
    Parser("npz shard", "shard.npz", _shard, _read_shards),
    Parser("tar shard", "data.tar", _tar, _read_images),
    Parser("npy", "data.npy", _npy, _read_images),
    Parser("image list", "list.txt", _list, _read_images),
    Parser("label csv", "data.csv", _label_csv, _read_images),
    Parser("label json", "data.json", _label_json, _read_images),
    Parser("target csv", "data.csv", _target_csv, _read_images),
    Parser("target json", "data.json", _target_json, _read_images),
    Parser("coco json", "boxes.json", _coco, _read_boxes),
    Parser("coco masks", "masks.json", _coco_masks, _read_coco_masks),
    Parser("mask", "mask.png", _mask, _read_mask),
    Parser("voc xml", "0.xml", _voc, _read_voc),
    Parser("yolo text", "0.txt", _yolo, _read_yolo),
    Parser("yolo names", "data.yaml", _names, _read_names),
    Parser("idx", "images-idx3-ubyte.gz", _idx, _read_idx),
    Parser("toml", "contract.toml", _toml, _read_toml),
    Parser("sweep plan", "plan.toml", _sweep, _read_sweep),
    Parser("sweep plan json", "plan.json", _sweep_json, _read_sweep),
    Parser("labels", "labels.txt", _labels, _read_labels),
    *_images(),
    Parser("pth", "net.pth", _state, _read_state),
    Parser("legacy pth", "net.pt", _legacy_state, _read_state),
    Parser("tfjs model", "model.json", _tfjs, _read_tfjs),
    Parser("tfjs shard", "group1-shard1of2", _tfjs, _read_tfjs),
    Parser("plan", "net.plan", _plan, _read_plan),
    Parser("tflite", "net.tflite", _tflite, _read_tflite),
    Parser("canonical graph", "float.tflite", _float_tflite, _read_canonical),
    Parser("tflite as model", "float.tflite", _float_tflite, _load_tflite, heavy=True),
    Parser("tflite weights", "net.tflite", _tflite, _load_integers),
    Parser("oracle", "net.tflite", _tflite, _run_oracle),
    Parser("onnx", "net.onnx", _onnx, _read_onnx, heavy=True),
    Parser("onnx steps", "net.onnx", _onnx, _read_steps),
    Parser("bundle", "net-ship.zip", _bundle, _read_bundle),
    Parser("keras", "net.keras", _model, _read_model, heavy=True),
    Parser("keras layers", "net.keras", _model, _read_layers, heavy=True),
    Parser("h5", "net.h5", _model, _read_model, heavy=True),
    Parser("legacy h5", "old.h5", _legacy_model, _read_model, heavy=True),
    Parser("weights", "net.weights.h5", _weights, _read_weights, heavy=True),
)
