"""The property tests of the integer interpreter, with compiled C in its place."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from export.c.program import LOWERINGS
from network.operators import OpKind
from tests.export.c.compiled import differing_in_c, needs_compiler
from tests.network.oracle import (
    files,
    test_elementwise_kernels,
    test_kernels,
    test_structural_kernels,
)

pytestmark = [pytest.mark.slow, needs_compiler]


@pytest.fixture(scope="module", autouse=True)
def in_c() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(files, "differing", differing_in_c)
        yield


for _module in (test_kernels, test_elementwise_kernels, test_structural_kernels):
    globals().update({n: t for n, t in vars(_module).items() if n.startswith("test_")})


def test_every_operator_has_a_kernel_in_c() -> None:
    assert set(map(str, LOWERINGS)) >= {kind.value for kind in OpKind}
