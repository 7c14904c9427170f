"""Every kernel is compared with LiteRT's, in some file of this package."""

from __future__ import annotations

import pkgutil
from importlib import import_module

import pytest

import tests.network.oracle
from network.oracle.model import KERNELS
from quantize.plans.widening import WIDE_KINDS


@pytest.mark.parametrize(("table", "kinds"), [("HERE", KERNELS), ("WIDE", WIDE_KINDS)])
def test_every_kernel_is_compared(table: str, kinds: dict[str, object]) -> None:
    compared: set[str] = set()
    for module in pkgutil.iter_modules(tests.network.oracle.__path__):
        found = import_module(f"tests.network.oracle.{module.name}")
        compared |= found.__dict__[table].kinds if table in found.__dict__ else set()
    assert set(map(str, kinds)) == compared
