"""Functions for Python programs; ``edgequant`` exports them (docs/python.md)."""
