"""The wheel in an environment of its own, beside a package that has the name of one of our rooms.

The environment shares the installed dependencies; ``make test-wheel`` runs this file alone.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

from edgequant.docs import HOME
from edgequant.rooms import ROOMS
from foundation.extras import PAGES

pytestmark = pytest.mark.slow

_BUILT_FROM = ("edgequant", *ROOMS, "setup.py", "pyproject.toml", "README.md", "LICENSE")
_LARGEST = 12_000_000
"""Bytes of the wheel: the embedded default, its images, and code."""

PROGRAM = '''
"""A program of a user, who has a package named models."""

from __future__ import annotations

import models
import numpy as np
import numpy.typing as npt

import edgequant as eq

rng = np.random.default_rng(0)
x: npt.NDArray[np.float32] = rng.normal(size=(40, 28, 28, 1)).astype(np.float32)


def seen(state: eq.Progress) -> None:
    print(state.step, state.done, state.total)


def main() -> None:
    artifact: eq.Artifact = eq.quantize(
        "mobilenet_v2_small",
        "fashion_mnist:calibration",
        samples=40,
        optimize="fast",
        progress=seen,
    )
    report: eq.Report = eq.evaluate(artifact, "fashion_mnist:test", limit=50, latency=False)
    row: eq.Row = report.rows[0]
    assert row.interval is not None and row.interval[0] > 50
    plan: eq.Plan = eq.load_plan(artifact.path.with_suffix(".plan"))
    assert plan.tensors.rows
    try:
        eq.quantize("nothing.keras", x)
    except eq.UnsupportedError:
        raise
    except eq.InvalidInputError as error:
        assert "nothing.keras" in str(error)
    try:
        eq.quantize("mobilenet_v2_small", "fashion_mnist:calibration", layout="nchw")
    except eq.UnsupportedError as error:
        print("unsupported:", error.remedy)
    try:
        eq.evaluate(
            artifact,
            "fashion_mnist:test",
            reference="mobilenet_v2_small",
            limit=50,
            latency=False,
            max_drop=-100,
        )
    except eq.GateFailedError as error:
        print("gate:", error.rule)
    assert models.NAME == "decoy"


if __name__ == "__main__":
    main()
'''
WRONG = """
import edgequant as eq

eq.quantize("a.keras", optimize="much").path.nothing
eq.quantise
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from a copy: setuptools leaves its files in the source."""
    source, target = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    for name in _BUILT_FROM:
        path = HOME / name
        if path.is_dir():
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(path, source / name, ignore=ignored)
        else:
            shutil.copy(path, source / name)
    build = "import sys; from setuptools.build_meta import build_wheel; build_wheel(sys.argv[1])"
    subprocess.run(
        [sys.executable, "-c", build, str(target)], cwd=source, check=True, capture_output=True
    )
    (path,) = target.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Interpreter of a fresh environment with the wheel, the decoy, and no packages of pages."""
    folder = tmp_path_factory.mktemp("env")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    interpreter = folder / "bin" / "python"
    ask = "import sysconfig; print(sysconfig.get_path('purelib'))"
    site = Path(subprocess.check_output([interpreter, "-c", ask], text=True).strip())
    import numpy as np

    shared = {sysconfig.get_path("purelib"), str(Path(np.__file__).parents[1])}
    (site / "shared.pth").write_text("".join(f"{path}\n" for path in sorted(shared)))
    (site / "models").mkdir()
    (site / "models" / "__init__.py").write_text('NAME = "decoy"\n')
    (site / "models" / "py.typed").touch()
    for name in PAGES.modules:  # before the shared ones on the path: as if not installed
        (site / f"{name}.py").write_text("raise ImportError('an extra was imported')\n")
    # As pip does: a purelib wheel is unpacked, and its commands become scripts.
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    script = folder / "bin" / "edgequant"
    script.write_text(f"#!{interpreter}\nfrom edgequant.__main__ import main\nmain()\n")
    script.chmod(0o755)
    return interpreter


def _run(tmp_path: Path, *words: object) -> str:
    """Output of a command in an empty folder, as a user's shell would run it."""
    cleared = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "KERAS_BACKEND")}
    done = subprocess.run(
        [str(word) for word in words], cwd=tmp_path, env=cleared, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def test_a_wheel_adds_one_package(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        (top,) = (name for name in names if name.endswith("top_level.txt"))
        assert archive.read(top) == b"edgequant\n"
        (entry,) = (name for name in names if name.endswith("entry_points.txt"))
        assert b"edgequant = edgequant.__main__:main" in archive.read(entry)
        (card,) = (name for name in names if name.endswith("METADATA"))
        needs = re.findall(
            r"^Requires-Dist: ([\w-]+)(.*)$", archive.read(card).decode(), re.MULTILINE
        )
        assert {name for name, rest in needs if "extra" not in rest}.isdisjoint(PAGES.modules)
        assert {name for name, rest in needs if "'pages'" in rest.replace('"', "'")} == {
            *PAGES.modules
        }
    folders = {name.split("/")[0] for name in names}
    assert {name for name in folders if not name.endswith(".dist-info")} == {"edgequant"}
    assert "edgequant/py.typed" in names
    assert not [name for name in names if "relu6/checkpoints/" in name]
    assert not [name for name in names if "/tests/" in name]
    assert wheel.stat().st_size < _LARGEST


def test_it_quantizes_from_python_beside_a_package_named_models(
    python: Path, tmp_path: Path
) -> None:
    (tmp_path / "program.py").write_text(PROGRAM)
    out = _run(tmp_path, python, "program.py")
    assert "tflite-int8 0 40" in out
    assert "unsupported:" in out
    assert "gate:" in out
    where = "import edgequant; print(edgequant.__file__)"
    assert str(python.parents[1]) in _run(tmp_path, python, "-c", where)


def test_it_quantizes_from_a_shell_in_an_empty_folder(python: Path, tmp_path: Path) -> None:
    out = _run(
        tmp_path, python.with_name("edgequant"), "quantize", "--recipe", "tflite-int8",
        "--data", "fashion_mnist:test", "--limit", 50, "--no-latency", "--optimize", "fast",
    )  # fmt: skip
    assert "tflite-int8: written" in out
    assert list(tmp_path.glob("artifacts/*/*.tflite"))
    listed = _run(tmp_path, python.with_name("edgequant"), "list", "models")
    assert "mobilenet_v2_small" in listed


def test_a_program_is_checked_against_its_types(python: Path, tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(PROGRAM)
    (tmp_path / "wrong.py").write_text(WRONG)
    mypy = [sys.executable, "-m", "mypy", "--strict", "--python-executable", str(python)]
    options = [*mypy, "--cache-dir", str(tmp_path / "cache"), "--no-error-summary"]
    ours = subprocess.run([*options, "program.py"], cwd=tmp_path, capture_output=True, text=True)
    assert (ours.returncode, ours.stdout) == (0, "")
    wrong = subprocess.run([*options, "wrong.py"], cwd=tmp_path, capture_output=True, text=True)
    assert 'has no attribute "nothing"' in wrong.stdout
    assert 'has no attribute "quantise"' in wrong.stdout
    assert 'Argument "optimize"' in wrong.stdout
