"""Folders with CMSIS-NN's sources, and those that have none."""

from __future__ import annotations

from pathlib import Path

import pytest

from evaluation.proofs.cmsis_nn import Library, run
from evaluation.proofs.proof import ProofRequest, Verdict
from export.c.names import Prefix
from foundation.errors import InvalidInputError


def library(folder: Path) -> Path:
    """Files by which a folder is known."""
    for name in (
        "Include/arm_nnfunctions.h",
        "Source/ConvolutionFunctions/arm_convolve_s8.c",
        "Source/NNSupportFunctions/arm_nn_mat_mult_nt_t_s8.c",
        "Source/PoolingFunctions/arm_max_pool_s8.c",
    ):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


@pytest.mark.parametrize("below", ["", "NN"])
def test_the_sources_are_found_in_the_folder_and_below(tmp_path: Path, below: str) -> None:
    folder = library(tmp_path / below)
    core = tmp_path / "Core/Include/cmsis_compiler.h"
    core.parent.mkdir(parents=True)
    core.touch()
    found = Library.open(tmp_path)
    assert found.includes == (folder / "Include", core.parent)
    assert [path.name for path in found.sources] == [
        "arm_convolve_s8.c",
        "arm_nn_mat_mult_nt_t_s8.c",
    ]
    assert "-DCAR_CMSIS_NN" in found.build(Prefix("car")).flags


@pytest.mark.parametrize("name", ["empty", "file", "missing"])
def test_another_folder_is_refused_in_one_sentence(tmp_path: Path, name: str) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").touch()
    with pytest.raises(InvalidInputError, match="--cmsis-nn takes a folder with CMSIS-NN's"):
        Library.open(tmp_path / name)


def test_without_the_library_nothing_is_run(tmp_path: Path) -> None:
    result = run(ProofRequest(tmp_path, tmp_path))
    assert result.verdict is Verdict.NOT_RUN
    assert "--cmsis-nn DIR" in result.sentence
