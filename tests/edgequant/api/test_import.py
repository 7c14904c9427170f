"""What importing edgequant does to a program: nothing; and what it exports."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import edgequant
from edgequant.api import exported
from edgequant.docs import HOME
from edgequant.rooms import ROOMS


def test_import_changes_nothing_and_loads_nothing() -> None:
    script = (
        "import os, sys\n"
        "def state(): return list(sys.meta_path), dict(os.environ), list(sys.path)\n"
        "before, loaded = state(), set(sys.modules)\n"
        "import edgequant\n"
        "dir(edgequant), edgequant.__doc__\n"
        "assert state() == before\n"
        "print(sorted(set(sys.modules) - loaded - {'__future__', 'typing'}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "KERAS_BACKEND": "jax"},
        cwd=HOME,
        capture_output=True,
        text=True,
        check=True,
    )
    names = ast.literal_eval(done.stdout)
    assert [name for name in names if name.startswith("edgequant")] == ["edgequant"]
    assert not set(names) & {*ROOMS, "numpy", "tensorflow", "keras", "click"}


def test_exports_are_the_names_that_a_checker_sees() -> None:
    assert edgequant.__all__ == exported.__all__
    tree = ast.parse((HOME / "edgequant/__init__.py").read_text())
    seen = {
        alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module != "__future__"
        for alias in node.names
    }
    assert seen >= set(edgequant.__all__)
    for name in edgequant.__all__:
        assert getattr(edgequant, name).__doc__
        assert name in dir(edgequant)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'quantise'"):
        edgequant.quantise  # noqa: B018


def test_no_text_names_a_module_by_its_place_in_a_checkout() -> None:
    """In a wheel the rooms are elsewhere: a name that is imported starts with ``__package__``."""
    room = "|".join(ROOMS)
    plain = re.compile(rf"^\s*import (?:{room})\b", re.MULTILINE)
    named = re.compile(
        rf'(?:import_module|joined|files|find_spec)\(\s*f?"(?:{room})\b|"-m", "(?:{room})'
    )
    for folder in (*ROOMS, "edgequant"):
        for path in (HOME / folder).rglob("*.py"):
            text = path.read_text(encoding="utf-8")
            assert not plain.search(text), path
            assert not named.search(text), path


def test_a_wheel_imports_a_room_from_inside_the_package() -> None:
    import importlib.util

    spec = importlib.util.spec_from_file_location("setup_of_edgequant", Path(HOME / "setup.py"))
    assert spec is not None
    assert spec.loader is not None
    setup = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(setup)
    source = (
        '"""from models.spec import ModelSpec"""\n'
        "from models.spec import (\n    ModelSpec,\n)\n"
        "from models_of_others import models\n"
        "def late() -> None:\n    from export.target import models\n"
    )
    moved = setup.rewritten(source, frozenset({"models", "export"}))
    assert moved == (
        '"""from models.spec import ModelSpec"""\n'
        "from edgequant._rooms.models.spec import (\n    ModelSpec,\n)\n"
        "from models_of_others import models\n"
        "def late() -> None:\n    from edgequant._rooms.export.target import models\n"
    )
    with pytest.raises(ValueError, match=r"from \.\.\. import"):
        setup.rewritten("import models.spec\n", frozenset({"models"}))
