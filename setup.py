"""Layout of the wheel: the rooms are inside the package ``edgequant``, under their own names there.

In a checkout the rooms are top-level folders (docs/adr/0002-rooms-are-top-level-packages.md). Names
such as ``models`` or ``export`` would meet those of other packages in site-packages, so a wheel
holds ``edgequant/_rooms/models``, and the statements that import a room are rewritten to that name
(docs/adr/0029-python-api.md). An editable installation is left as it is.
"""

from __future__ import annotations

import ast
import re
import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py
from setuptools.command.egg_info import egg_info

PACKAGE = "edgequant"
INSIDE = "_rooms"


def rewritten(source: str, rooms: frozenset[str]) -> str:
    """Source in which ``from ROOM.module import name`` names the room inside the package.

    Args:
        source: text of a module.
        rooms: names of the rooms.

    Raises:
        ValueError: ``import ROOM``, which binds a name that the wheel does not have.
    """
    lines = source.splitlines(keepends=True)
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            plain = [name.name for name in node.names if name.name.split(".")[0] in rooms]
            if plain:
                raise ValueError(f"line {node.lineno}: write 'from ... import', not import {plain}")
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            room = node.module.split(".")[0]
            if room in rooms:
                # Columns of the tree count bytes; before a statement there are only blanks.
                head, tail = lines[node.lineno - 1].split("from", 1)
                moved = re.sub(rf"^(\s+){room}\b", rf"\1{PACKAGE}.{INSIDE}.{room}", tail)
                lines[node.lineno - 1] = f"{head}from{moved}"
    return "".join(lines)


def move_rooms(home: Path) -> None:
    """Move the rooms of a built tree into the package and rewrite the imports of all modules."""
    rooms = frozenset(
        folder.name for folder in home.iterdir() if folder.is_dir() and folder.name != PACKAGE
    )
    inside = home / PACKAGE / INSIDE
    shutil.rmtree(inside, ignore_errors=True)
    inside.mkdir()
    (inside / "__init__.py").write_text('"""The rooms, see the file setup.py of a checkout."""\n')
    for room in sorted(rooms):
        shutil.move(home / room, inside / room)
    for path in sorted((home / PACKAGE).rglob("*.py")):
        source = path.read_text(encoding="utf-8")
        path.write_text(rewritten(source, rooms), encoding="utf-8")


class BuildPy(build_py):
    """Builds the tree of a wheel."""

    def run(self) -> None:
        """Copy the packages, then move the rooms; an editable installation has nothing to move."""
        if self.editable_mode:
            super().run()
            return
        shutil.rmtree(self.build_lib, ignore_errors=True)  # of an earlier build
        super().run()
        move_rooms(Path(self.build_lib))


class EggInfo(egg_info):
    """Names the one package that a wheel adds to site-packages."""

    def run(self) -> None:
        """Write the metadata."""
        super().run()
        (Path(self.egg_info) / "top_level.txt").write_text(f"{PACKAGE}\n", encoding="utf-8")


if __name__ == "__main__":
    setup(cmdclass={"build_py": BuildPy, "egg_info": EggInfo})
