"""Names in a Keras config: Keras's own without side effects pass, all others are refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from foundation.errors import InvalidInputError
from models.loading.keras_config import EFFECTS, refuse_foreign_code

PATH = Path("net.keras")


def _layer(name: str, module: Any = "keras.layers", **more: Any) -> dict[str, Any]:
    inner = {"class_name": name, "config": {}, "module": module, "registered_name": None, **more}
    return {"class_name": "Functional", "config": {"layers": [{"config": {"layer": inner}}]}}


@pytest.mark.parametrize(
    "config",
    [
        _layer("Conv2D"),
        _layer("Conv2D", None),
        _layer("Functional", "keras.src.models.functional", registered_name="Functional"),
        _layer("Relu6", "keras.src.ops.nn", registered_name="Relu6"),
        _layer("Add", "keras.src.ops.numpy"),
        _layer("DTypePolicy", "keras"),
        _layer("L2", "keras.regularizers"),
        _layer("function", "builtins", config="relu6", registered_name="function"),
        _layer("function", "keras.ops", config="silu"),
        {"class_name": "__keras_tensor__", "config": {"shape": [1]}},
    ],
)
def test_parts_of_keras_pass(config: dict[str, Any]) -> None:
    assert refuse_foreign_code(config, PATH, trust=False) is None


@pytest.mark.parametrize(
    "config",
    [
        *(_layer(name) for name in sorted(EFFECTS)),
        *(_layer(name, None) for name in sorted(EFFECTS)),
        _layer("TFSMLayer", "keras.src.export.tfsm_layer"),
        _layer("Conv2D", "keras.src.export.tfsm_layer"),
        _layer("Conv2D", "keras_hub.layers"),
        _layer("Conv2D", "os"),
        _layer("Conv2D", ["keras.layers"]),
        _layer("Secret", "somewhere"),
        _layer("Secret", None),
        _layer("Conv2D", registered_name="package>Conv2D"),
        _layer("Map", "keras.src.ops.core"),
        _layer("WhileLoop", "keras.src.ops.core"),
        _layer("function", "keras.utils", config="get_file"),
        _layer("function", "builtins", config="eval"),
        _layer("function", "keras.ops", config="while_loop"),
        _layer("function", "subprocess", config="run"),
        _layer("function", "builtins", config={"a": 1}),
        _layer("__typespec__", "os"),
        {"class_name": "__lambda__", "config": {"value": "x"}},
    ],
)
def test_everything_else_is_refused_unless_it_is_trusted(config: dict[str, Any]) -> None:
    with pytest.raises(InvalidInputError, match="--trust"):
        refuse_foreign_code(config, PATH, trust=False)
    refuse_foreign_code(config, PATH, trust=True)


def test_depth_is_no_limit() -> None:
    config: Any = _layer("Lambda")
    for _ in range(100_000):
        config = {"config": [config]}
    with pytest.raises(InvalidInputError, match="Lambda"):
        refuse_foreign_code(config, PATH, trust=False)
