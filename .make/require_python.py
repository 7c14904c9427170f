"""Exit with a sentence unless this interpreter can run Edgequant; any Python 3 can read this."""

import sys

if sys.version_info < (3, 11):  # noqa: UP036 - make runs whichever python3 there is
    sys.exit(
        "edgequant needs Python 3.11 or newer; received {}.{}: "
        "run make PYTHON=python3.12, for example.".format(*sys.version_info[:2])
    )
