"""Files that this project writes or reads as its own: plans, .tflite, .onnx and bundles."""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path

import numpy as np

from tests.fuzz.parser import Parser


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


ARTIFACTS = (
    Parser("plan", "net.plan", _plan, _read_plan),
    Parser("tflite", "net.tflite", _tflite, _read_tflite),
    Parser("canonical graph", "float.tflite", _float_tflite, _read_canonical),
    Parser("tflite as model", "float.tflite", _float_tflite, _load_tflite, heavy=True),
    Parser("tflite weights", "net.tflite", _tflite, _load_integers),
    Parser("oracle", "net.tflite", _tflite, _run_oracle),
    Parser("onnx", "net.onnx", _onnx, _read_onnx, heavy=True),
    Parser("onnx steps", "net.onnx", _onnx, _read_steps),
    Parser("bundle", "net-ship.zip", _bundle, _read_bundle),
)
