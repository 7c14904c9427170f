"""SavedModels: operators with side effects are refused before TensorFlow loads anything."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import pytest
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

from foundation.errors import InvalidInputError
from models.loading.files import load_keras_file
from models.loading.saved_model import GRAPH, refuse_foreign_operators
from models.loading.saved_model_operators import CALLS, COMPUTING, RESTORING, SAVING
from tests.models.networks import classifier

IMAGES = tf.TensorSpec([None, 8, 8, 3], tf.float32)


def _save(path: Path, effect: Callable[[tf.Tensor], tf.Tensor]) -> Path:
    """Save a classifier of two classes that runs something else first."""
    module = tf.Module()

    @tf.function(input_signature=[IMAGES])
    def serve(images: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"scores": tf.reduce_mean(effect(images), [1, 2])[:, :2]}

    module.serve = serve
    tf.saved_model.save(module, str(path), signatures={"serving_default": serve})
    return path


def _reads(images: tf.Tensor) -> tf.Tensor:
    return images + tf.cast(tf.strings.length(tf.io.read_file("/etc/hostname")), tf.float32)


def _writes(images: tf.Tensor) -> tf.Tensor:
    with tf.control_dependencies([tf.io.write_file("/tmp/never-written", "x")]):
        return tf.identity(images)


def _prints_to_a_file(images: tf.Tensor) -> tf.Tensor:
    tf.print("x", output_stream="file:///tmp/never-written")
    return images


def _python(images: tf.Tensor) -> tf.Tensor:
    return tf.ensure_shape(tf.numpy_function(lambda x: x, [images], tf.float32), [None, 8, 8, 3])


def _without_end(images: tf.Tensor) -> tf.Tensor:
    return tf.while_loop(lambda _: True, lambda x: [x + 1], [images])[0]


def _saves(images: tf.Tensor) -> tf.Tensor:
    saved = tf.raw_ops.SaveV2(
        prefix="/tmp/never-written", tensor_names=["a"], shape_and_slices=[""], tensors=[images]
    )
    with tf.control_dependencies([saved]):
        return tf.identity(images)


def _restores(images: tf.Tensor) -> tf.Tensor:
    (read,) = tf.raw_ops.RestoreV2(
        prefix="/tmp/elsewhere", tensor_names=["a"], shape_and_slices=[""], dtypes=[tf.float32]
    )
    return images + tf.reshape(read, [])


def _in_a_branch(images: tf.Tensor) -> tf.Tensor:
    return tf.cond(tf.reduce_sum(images) > 0, lambda: _writes(images), lambda: images)


@pytest.mark.parametrize(
    ("effect", "named"),
    [
        (_reads, "ReadFile"),
        (_writes, "WriteFile"),
        (_prints_to_a_file, "PrintV2"),
        (_python, "PyFunc"),
        (_without_end, "While"),
        (_saves, "SaveV2|saves or restores"),
        (_restores, "RestoreV2|saves or restores"),
        (_in_a_branch, "WriteFile"),
    ],
)
def test_an_operator_with_effects_is_refused_and_named(
    tmp_path: Path, effect: Callable[[tf.Tensor], tf.Tensor], named: str
) -> None:
    path = _save(tmp_path / "saved", effect)
    with pytest.raises(InvalidInputError, match=f"({named}).*--trust"):
        load_keras_file(path)


def test_an_initializer_does_not_run(tmp_path: Path) -> None:
    written = tmp_path / "written"

    class Resource(tf.saved_model.experimental.TrackableResource):
        def _create_resource(self) -> Any:
            return tf.raw_ops.VarHandleOp(dtype=tf.float32, shape=[], shared_name="r")

        def _initialize(self) -> None:
            tf.io.write_file(str(written), "ran")

    module = tf.Module()
    module.resource = Resource()

    @tf.function(input_signature=[IMAGES])
    def serve(images: tf.Tensor) -> dict[str, tf.Tensor]:
        handle = module.resource.resource_handle
        with tf.control_dependencies([handle]):
            return {"scores": tf.reduce_mean(images, [1, 2])}

    module.serve = serve
    tf.saved_model.save(module, str(tmp_path / "saved"), signatures={"serving_default": serve})
    written.unlink(missing_ok=True)  # saving may run it too
    with pytest.raises(InvalidInputError, match="WriteFile"):
        load_keras_file(tmp_path / "saved")
    assert not written.exists()


def test_a_table_of_an_asset_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "words.txt").write_text("a\nb\n")
    module = tf.Module()
    module.table = tf.lookup.StaticHashTable(
        tf.lookup.TextFileInitializer(
            str(tmp_path / "words.txt"),
            tf.string,
            tf.lookup.TextFileIndex.WHOLE_LINE,
            tf.int64,
            tf.lookup.TextFileIndex.LINE_NUMBER,
        ),
        -1,
    )

    @tf.function(input_signature=[IMAGES])
    def serve(images: tf.Tensor) -> dict[str, tf.Tensor]:
        number = tf.cast(module.table.lookup(tf.constant("a")), tf.float32)
        return {"scores": tf.reduce_mean(images, [1, 2]) + number}

    module.serve = serve
    tf.saved_model.save(module, str(tmp_path / "saved"), signatures={"serving_default": serve})
    with pytest.raises(InvalidInputError, match=r"asset files|InitializeTable"):
        load_keras_file(tmp_path / "saved")


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small classifier, as Keras exports it."""
    path = tmp_path_factory.mktemp("exported") / "saved"
    classifier().export(str(path), verbose=False)
    return path


def _changed(exported: Path, folder: Path, change: Callable[[Any], None]) -> Path:
    stored = saved_model_pb2.SavedModel()
    stored.ParseFromString((exported / GRAPH).read_bytes())
    change(stored.meta_graphs[0])
    folder.mkdir()
    (folder / GRAPH).write_bytes(stored.SerializeToString())
    return folder


def _called_by_a_twin(meta: Any) -> None:
    library = meta.graph_def.library.function
    library.add().signature.name = "twin"
    node = library[-1].node_def.add(name="call", op="PartitionedCall")
    node.attr["f"].func.name = "twin"


def _doubling(meta: Any) -> None:
    """Each of 40 functions calls the one before it twice."""
    library = meta.graph_def.library.function
    for number in range(40):
        library.add().signature.name = f"twice_{number}"
        for copy in range(2):
            node = library[-1].node_def.add(name=f"call_{copy}", op="PartitionedCall")
            node.attr["f"].func.name = f"twice_{max(number - 1, 0)}" if number else "least"
    library.add().signature.name = "least"


def _unknown_call(meta: Any) -> None:
    node = meta.graph_def.node.add(name="call", op="PartitionedCall")
    node.attr["f"].func.name = "ReadFile"


def _foreign_operator(meta: Any) -> None:
    meta.graph_def.node.add(name="x", op="XlaLaunch")


def _restore_of_elsewhere(meta: Any) -> None:
    for function in meta.graph_def.library.function:
        for node in function.node_def:
            if node.op == "RestoreV2":
                node.input[0] = "RestoreV2/tensor_names:output:0"


def _answer_of_the_saver(meta: Any) -> None:
    outputs = meta.signature_def["serving_default"].outputs
    next(iter(outputs.values())).name = meta.saver_def.save_tensor_name


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (_called_by_a_twin, "calls itself"),
        (_doubling, "more than 1,000,000 operators"),
        (_unknown_call, "call of ReadFile"),
        (_foreign_operator, "XlaLaunch"),
        (_restore_of_elsewhere, "another path"),
        (_answer_of_the_saver, "not of the loader's saver"),
    ],
)
def test_a_graph_that_was_edited_is_refused(
    exported: Path, tmp_path: Path, change: Callable[[Any], None], named: str
) -> None:
    path = _changed(exported, tmp_path / "saved", change)
    with pytest.raises(InvalidInputError, match=named):
        refuse_foreign_operators(path)


def test_what_keras_exports_passes(exported: Path) -> None:
    assert refuse_foreign_operators(exported) is None


def test_a_file_of_tensorflow_1_passes(tmp_path: Path) -> None:
    v1 = tf.compat.v1
    with tf.Graph().as_default(), v1.Session() as session:
        images = v1.placeholder(tf.float32, [None, 8, 8, 3], "images")
        weights = v1.get_variable("w", [192, 4])
        scores = tf.matmul(tf.reshape(images, [-1, 192]), weights)
        session.run(v1.global_variables_initializer())
        builder = v1.saved_model.Builder(str(tmp_path / "saved"))
        signature = v1.saved_model.predict_signature_def({"images": images}, {"scores": scores})
        builder.add_meta_graph_and_variables(
            session, ["serve"], signature_def_map={"serving_default": signature}
        )
        builder.save()
    refuse_foreign_operators(tmp_path / "saved")


def test_a_pipe_among_the_variables_does_not_hang(exported: Path, tmp_path: Path) -> None:
    path = _changed(exported, tmp_path / "saved", lambda _: None)
    os.mkfifo(path / "variables.index")
    with pytest.raises(InvalidInputError, match="a named pipe"):
        load_keras_file(path)


def test_every_listed_operator_exists_in_tensorflow() -> None:
    from tensorflow.python.framework import op_def_registry

    listed = COMPUTING | CALLS | SAVING | RESTORING
    assert not [name for name in listed if op_def_registry.get(name) is None]


def test_a_keras_layer_that_loads_a_saved_model_is_refused(exported: Path, tmp_path: Path) -> None:
    image = keras.Input((8, 8, 3))
    layer = keras.layers.TFSMLayer(str(exported), call_endpoint="serving_default")
    (scores,) = layer(image).values()
    keras.Model(image, scores).save(tmp_path / "net.keras")
    with pytest.raises(InvalidInputError, match=r"TFSMLayer.*--trust"):
        load_keras_file(tmp_path / "net.keras")
