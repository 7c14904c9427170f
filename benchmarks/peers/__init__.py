"""Other quantizers, one file each: ``NAME.py`` with ``PEER``, ``NAME.txt`` with what pip installs.

A file without a ``.txt`` runs in the product's environment. The files are imported by the product,
which lists their settings, and by a child process in the peer's environment, which runs them: so
they import nothing heavy outside a function.
"""
