"""``python -m edgequant``, and the entry point of the installed command."""

from __future__ import annotations

import edgequant.process  # noqa: F401 - before what it sets
from edgequant.cli.main import main

if __name__ == "__main__":
    main()
