"""Print what pip installs for a platform's runtime: NumPy, and an extra or a group of pyproject."""

import sys
import tomllib
from pathlib import Path

pyproject = tomllib.loads(Path("pyproject.toml").read_text(encoding="utf-8"))
packages = {**pyproject["project"]["optional-dependencies"], **pyproject["dependency-groups"]}
sys.stdout.writelines(f"{name}\n" for name in ("numpy>=2,<3", *packages[sys.argv[1]]))
