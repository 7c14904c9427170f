"""The harness that runs other quantizers: its registry, its child processes, its table."""

from __future__ import annotations

import py_compile
import re
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks.accuracy import environments, rows, runs
from benchmarks.accuracy.environments import Environment, environment, install
from benchmarks.accuracy.networks import absolute
from benchmarks.accuracy.peer import (
    GRANULARITIES,
    HOME,
    Job,
    Peer,
    Setting,
    Source,
    peers,
    tflite_feeds,
)
from benchmarks.accuracy.peer import requirements as requirements_of
from benchmarks.accuracy.rows import Row
from benchmarks.accuracy.runs import Effort, Limits, Outcome, run_job
from benchmarks.accuracy.subjects import found_models
from benchmarks.peers import edgequant
from benchmarks.peers.edgequant import SHARES
from network.tflite.outputs import INPUT_NAME, with_signature
from network.tflite.writer import FlatFile
from reports.accuracy import accuracy_tables

HERE = Environment(Path(sys.executable))
HEAVY = ("numpy", "tensorflow", "keras", "onnx", "onnxruntime", "torch")


@pytest.mark.parametrize("module", peers())
def test_every_peer_is_whole(module: str) -> None:
    peer = peers()[module]
    py_compile.compile(str(HOME / "benchmarks" / "peers" / f"{module}.py"), doraise=True)
    assert peer.settings
    assert len({setting.name for setting in peer.settings}) == len(peer.settings)
    for setting in peer.settings:
        assert setting.summary
        assert set(setting.granularities) <= set(GRANULARITIES)
    assert any(not setting.slow for setting in peer.settings)
    assert peer.distributions
    assert peer.source in Source


@pytest.mark.parametrize("module", [m for m in peers() if requirements_of(m)])
def test_requirements_are_pinned_and_name_what_is_reported(module: str) -> None:
    wanted = requirements_of(module)
    assert wanted is not None
    lines = [line for line in wanted.read_text().splitlines() if not line.startswith("#")]
    assert all(re.fullmatch(r"[a-z0-9-]+==[\w.]+", line) for line in lines), lines
    assert set(peers()[module].distributions) <= {line.partition("==")[0] for line in lines}


@pytest.mark.parametrize("module", [m for m in peers() if requirements_of(m) is None])
def test_peers_without_requirements_find_theirs_in_the_product(module: str) -> None:
    assert all(peers()[module].versions().values())


def test_names_of_peers_are_unique() -> None:
    assert len({peer.name for peer in peers().values()}) == len(peers())


def test_tensors_are_fed_by_the_signature_and_the_input_of_a_tflite(tmp_path: Path) -> None:
    from ai_edge_litert.tools import flatbuffer_utils

    file, shape = FlatFile(), (1, 2, 2, 3)
    ends = [file.tensor(name, shape, "float32") for name in ("a", "b")]
    file.operator("RELU", 1, ends[:1], ends[1:])
    model = flatbuffer_utils.read_model_from_bytearray(file.content(ends[:1], ends[1:]))
    with_signature(model, ["scores"])
    path = tmp_path / "model.tflite"
    path.write_bytes(flatbuffer_utils.convert_object_to_bytearray(model))
    images = np.arange(24, dtype=np.float32).reshape(2, 2, 2, 3)
    (feeds,) = tflite_feeds(str(path), images).values()
    assert [list(feed) for feed in feeds] == [[INPUT_NAME]] * 2
    np.testing.assert_array_equal(np.concatenate([feed[INPUT_NAME] for feed in feeds]), images)


@pytest.mark.parametrize("name", SHARES)
def test_a_share_of_int8_is_the_largest_size_of_the_second_run(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs: list[dict[str, str]] = []

    def command(words: list[str]) -> None:
        options = dict(zip(words[1::2], words[2::2], strict=True))
        runs.append(options)
        path = Path(options["--output"]) / f"net-{options['--recipe']}.tflite"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"x" * int(options.get("--max-size", 1000)))
        raise SystemExit(0)

    monkeypatch.setattr("edgequant.cli.main.main", command)
    edgequant.quantize(Job("net", "i.npy", "data", "per-channel", name, str(tmp_path)))
    assert [run["--recipe"] for run in runs] == ["tflite-int8", "tflite-int4"]
    assert runs[1]["--max-size"] == str(int(1000 * SHARES[name]))
    (made,) = tmp_path.glob("*.tflite")
    assert made.stat().st_size == int(1000 * SHARES[name])


def test_what_a_child_imports_first_is_the_standard_library() -> None:
    import subprocess

    script = (
        f"import sys, benchmarks.accuracy.child\nprint([m for m in {HEAVY} if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=HOME
    )
    assert done.stdout.strip() == "[]"


# A peer of the tests: it copies its input, after what its setting says.
FAKE = """
import sys, time
from pathlib import Path
from benchmarks.accuracy.peer import Job, Peer, Setting, Source, load_images

def quantize(job):
    if job.setting == "fails":
        raise ValueError("no such   thing")
    if job.setting == "sleeps":
        time.sleep(60)
    if job.setting == "eats":
        kept = b"x" * (400 * 1024**2)
        time.sleep(60)
    if job.setting != "silent":
        images = load_images(job.images)
        Path(job.result(".onnx")).write_text(f"{job.granularity} {images.sum():g}")
    Path(job.output, "scratch.tmp").write_text("")

PEER = Peer("Fake", ("numpy",), Source.ONNX, ("numpy",), tuple(
    Setting(name, name) for name in ("copies", "fails", "sleeps", "eats", "silent")
) + (Setting("one", "one", ("per-channel",)), Setting("long", "long", slow=True)), quantize)
"""


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Peer:
    """A registered peer in a repository of its own."""
    for package in ("benchmarks", "benchmarks/accuracy", "benchmarks/peers"):
        (tmp_path / package).mkdir()
        (tmp_path / package / "__init__.py").write_text("")
    for name in ("peer", "child"):
        text = (HOME / "benchmarks" / "accuracy" / f"{name}.py").read_text()
        (tmp_path / "benchmarks" / "accuracy" / f"{name}.py").write_text(text)
    (tmp_path / "benchmarks" / "peers" / "fake.py").write_text(FAKE)
    monkeypatch.setattr(runs, "HOME", tmp_path)
    names = ("copies", "fails", "sleeps", "eats", "silent")
    settings = (
        *(Setting(name, name) for name in names),
        Setting("one", "one", ("per-channel",)),
        Setting("long", "long", slow=True),
    )
    return Peer("Fake", ("numpy",), Source.ONNX, (), settings, lambda _: None)


def _run(
    fake: Peer,
    folder: Path,
    setting: str,
    *,
    limits: Limits | None = None,
    effort: Effort = Effort.USUAL,
    granularity: str = "per-channel",
) -> Outcome:
    images = folder / "images.npy"
    np.save(images, np.ones((2, 2, 2, 3), np.float32))
    job = Job("model.onnx", str(images), "data", granularity, setting, "")
    return run_job(
        "fake", fake, job, HERE, limits=limits or Limits(60), inputs="digest", effort=effort,
        cache=folder / "cache",
    )  # fmt: skip


def test_a_job_writes_files_and_says_what_it_took(fake: Peer, tmp_path: Path) -> None:
    outcome = _run(fake, tmp_path, "copies")
    assert [path.name for path in outcome.files] == ["model.onnx"]
    assert outcome.files[0].read_text() == "per-channel 24"
    assert outcome.seconds is not None
    assert 0 <= outcome.seconds < 60
    assert dict(outcome.versions)["numpy"] == np.__version__
    assert not outcome.reason
    assert not outcome.kept


def test_a_job_is_done_once_for_the_same_inputs(fake: Peer, tmp_path: Path) -> None:
    first = _run(fake, tmp_path, "copies")
    again = _run(fake, tmp_path, "copies")
    other = _run(fake, tmp_path, "copies", granularity="per-tensor")
    assert again.kept
    assert again.files == first.files
    assert again.seconds == first.seconds
    assert not other.kept
    assert other.files[0].read_text() == "per-tensor 24"


def test_a_changed_peer_is_run_again(fake: Peer, tmp_path: Path) -> None:
    _run(fake, tmp_path, "copies")
    script = tmp_path / "benchmarks" / "peers" / "fake.py"
    script.write_text(FAKE.replace("{job.granularity} ", "changed "))
    assert _run(fake, tmp_path, "copies").files[0].read_text() == "changed 24"


def test_a_failure_is_a_reason_and_is_kept_until_a_retry(fake: Peer, tmp_path: Path) -> None:
    assert _run(fake, tmp_path, "fails").reason == "failed: ValueError: no such thing"
    assert _run(fake, tmp_path, "fails").kept
    assert not _run(fake, tmp_path, "fails", effort=Effort.RETRY).kept
    assert _run(fake, tmp_path, "silent").reason == "failed: it wrote no file"


def test_limits_end_a_job_and_name_themselves(fake: Peer, tmp_path: Path) -> None:
    late = _run(fake, tmp_path, "sleeps", limits=Limits(0.6))
    assert late.reason == "skipped: took more than 0.01 minutes"
    if Path("/proc/self/status").exists():
        fat = _run(fake, tmp_path, "eats", limits=Limits(60, 200 * 1024**2))
        assert fat.reason == "skipped: took more than 0.195312 GiB of memory"
    assert not list((tmp_path / "cache").glob(".running-*"))


def test_what_is_not_run_says_why(fake: Peer, tmp_path: Path) -> None:
    assert "no per-tensor" in _run(fake, tmp_path, "one", granularity="per-tensor").reason
    assert _run(fake, tmp_path, "copies", effort=Effort.KEPT).reason == "not run yet"
    assert "SLOW=1" in _run(fake, tmp_path, "long").reason
    assert _run(fake, tmp_path, "long", effort=Effort.SLOW).files


def test_an_environment_is_asked_for_made_and_made_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = tmp_path / "tiny.txt"
    wanted.write_text("# nothing but comments\n")
    monkeypatch.setattr(environments, "requirements", lambda _: wanted)
    monkeypatch.setattr(environments, "_pip", lambda python: [str(python), "-c", "import venv"])
    assert environment("tiny", tmp_path).reason == "not installed: run make peers"
    assert not install("tiny", tmp_path).reason
    assert environment("tiny", tmp_path).python.is_file()
    wanted.write_text("other==1\n")
    assert environment("tiny", tmp_path).reason == "not installed: run make peers"


def test_a_peer_that_does_not_install_has_pips_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = tmp_path / "tiny.txt"
    wanted.write_text("tiny==9\n")
    monkeypatch.setattr(environments, "requirements", lambda _: wanted)
    refusing = "import sys; sys.exit('WARNING: old\\nERROR: No matching distribution for tiny==9')"
    monkeypatch.setattr(environments, "_pip", lambda python: [str(python), "-c", refusing])
    reason = "not installed: No matching distribution for tiny==9"
    assert install("tiny", tmp_path).reason == reason
    assert environment("tiny", tmp_path).reason == reason


def test_a_folder_stands_for_the_models_in_it(tmp_path: Path) -> None:
    for name in ("b.keras", "a.keras", "a.toml"):
        (tmp_path / name).write_text("")
    found = found_models((str(tmp_path), "mobilenet_v2_small"))
    assert [Path(text).name for text in found] == ["a.keras", "b.keras", "mobilenet_v2_small"]


def test_data_means_the_same_in_any_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "photos").mkdir()
    monkeypatch.chdir(tmp_path)
    assert absolute("photos") == f"{tmp_path.resolve()}/photos"
    assert absolute("photos:train") == f"{tmp_path.resolve()}/photos:train"
    assert absolute("fashion_mnist:calibration") == "fashion_mnist:calibration"


def _row(network: str, tool: str, sqnr: str, **values: str) -> Row:
    figures = {"n": "10", "top1": "90.00", "runtime": "onnxruntime"} if sqnr else {}
    return Row(network, "per-channel", tool, "best", sqnr_db=sqnr, **{**figures, **values})


def test_rows_of_a_network_replace_its_old_ones_and_no_others(tmp_path: Path) -> None:
    path = tmp_path / "accuracy.csv"
    rows.merge([_row("a", "old", "9.50"), _row("b", "kept", "7.00")], path)
    rows.merge([_row("a", "new", "8.00"), _row("a", "newer", "12.25")], path)
    assert [(r.network, r.tool) for r in rows.read(path)] == [
        ("a", "newer"), ("a", "new"), ("b", "kept"),
    ]  # fmt: skip


def test_the_table_ranks_by_sqnr_and_lists_what_was_not_measured() -> None:
    from dataclasses import asdict

    table = accuracy_tables(
        asdict(row)
        for row in (
            _row("net", "float32", "", n="10", top1="91.00", runtime="keras"),
            _row("net", "low", "8.00", drop="-1.5", drop_low="-3.00", drop_high="0.10"),
            _row("net", "high", "12.00", size_bytes="3870386"),
            _row("net", "absent", "", reason="not installed: run make peers"),
        )
    )
    lines = table.splitlines()
    assert lines[0] == "### net, weights per channel"
    assert [line.split(" | ")[0] for line in lines[4:7]] == ["| float32", "| high", "| low"]
    assert "| 3,870 |" in lines[5]
    assert "-1.50 [-3.00, 0.10]" in lines[6]
    assert lines[-1] == "- absent, best: not installed: run make peers."
