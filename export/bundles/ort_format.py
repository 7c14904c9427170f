"""ONNX Runtime's own file format, its list of operators, and its word on mobile providers.

The tools are ONNX Runtime's (``onnxruntime.tools``), run in a child: they write to the process's
log and keep global state.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from export.bundles.ort_canonical import canonical_ort
from foundation.errors import UnsupportedError
from foundation.foreign import printable
from foundation.scratch import refuse_full, temporary_scratch

CONFIG = ".required_operators_and_types.config"
"""Ending of the list of operators for a reduced build."""
_TIMEOUT = 600
_CHECKED = re.compile(r"Checking (NNAPI|CoreML \w+)$", re.MULTILINE)
_PARTITIONS = re.compile(r"(\d+) partitions? with a total of (\d+)/(\d+) nodes")
_UNSUPPORTED = re.compile(r"Unsupported ops: (\S+)")
_WORDS = re.compile(r"[\w.:]+( [\w.:]+)*", re.ASCII)
_ANSWER = re.compile(r"as is: (YES|NO|MAYBE)")


@dataclass(frozen=True)
class Usability:
    """What ONNX Runtime's mobile usability check says of one execution provider.

    Attributes:
        provider: ``NNAPI``, ``CoreML NeuralNetwork``, ``CoreML MLProgram``.
        answer: ``yes``, ``no`` or ``maybe``: whether the model should perform well as it is.
        partitions: parts of the graph that it would take.
        nodes: nodes in them.
        all_nodes: nodes of the graph.
        unsupported: operators that it would not take.
    """

    provider: str
    answer: str
    partitions: int
    nodes: int
    all_nodes: int
    unsupported: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Usability:
        """Read back what ``to_dict`` gave; raises ValueError where it is something else."""
        unsupported = values["unsupported"]
        counts = [values[key] for key in ("partitions", "nodes", "all_nodes")]
        texts = [values["provider"], values["answer"], *unsupported]
        if not all(type(n) is int and 0 <= n < 2**31 for n in counts):
            raise ValueError("counts that are no whole numbers")
        if not all(isinstance(t, str) and _WORDS.fullmatch(t) for t in texts):
            raise ValueError("names that are no words")
        partitions, nodes, all_nodes = counts
        return cls(texts[0], texts[1], partitions, nodes, all_nodes, tuple(unsupported))


def write_ort(model: Path, folder: Path) -> tuple[Path, Path]:
    """Convert an .onnx to .ort for Arm, and list operators with types for a reduced build.

    The bytes repeat: see ``export/bundles/ort_canonical.py``.

    Args:
        model: the .onnx.
        folder: where the two files go.

    Returns:
        Paths of the .ort and of the configuration.

    Raises:
        UnsupportedError: ONNX Runtime's tool does not take the model.
    """
    with temporary_scratch() as place:
        scratch = str(place)
        _tool(
            "convert_onnx_models_to_ort", str(model), "--output_dir", scratch,
            "--enable_type_reduction", "--optimization_style", "Fixed", "--target_platform", "arm",
        )  # fmt: skip
        ort, config = Path(scratch, f"{model.stem}.ort"), Path(scratch, f"{model.stem}{CONFIG}")
        written = folder / ort.name, folder / config.name
        written[0].write_bytes(canonical_ort(ort.read_bytes()))
        # Without the folder that it was made in: equal models give equal files.
        text = config.read_text(encoding="utf-8").replace(f"{scratch}/", "")
        written[1].write_text(text, encoding="utf-8")
    return written


def mobile_usability(model: Path) -> tuple[Usability, ...]:
    """The mobile usability check's answers.

    Raises:
        UnsupportedError: the tool does not take the model, or says something unknown.
    """
    log = _tool("check_onnx_model_mobile_usability", "--log_level", "info", str(model))
    parts = _CHECKED.split(log)[1:]
    answers = tuple(
        _answer(provider, text) for provider, text in zip(parts[::2], parts[1::2], strict=True)
    )
    if not answers:
        raise _refused("check_onnx_model_mobile_usability", "no answer that can be read")
    return answers


def _answer(provider: str, text: str) -> Usability:
    partitions, answer = _PARTITIONS.search(text), _ANSWER.search(text)
    if partitions is None or answer is None:
        raise _refused("check_onnx_model_mobile_usability", f"no answer for {provider}")
    unsupported = _UNSUPPORTED.search(text)
    return Usability(
        provider,
        answer=answer[1].lower(),
        partitions=int(partitions[1]),
        nodes=int(partitions[2]),
        all_nodes=int(partitions[3]),
        unsupported=tuple(unsupported[1].split(",")) if unsupported else (),
    )


def _tool(name: str, *arguments: str) -> str:
    command = [sys.executable, "-I", "-m", f"onnxruntime.tools.{name}", *arguments]
    try:
        done = subprocess.run(  # noqa: S603 - a command of ours
            command,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=_TIMEOUT,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise _refused(name, f"no end within {_TIMEOUT} s") from error
    log = f"{done.stdout}\n{done.stderr}"
    if done.returncode:
        refuse_full(Path(tempfile.gettempdir()), log)
        raise _refused(name, (log.strip().splitlines() or ["no message"])[-1])
    return log


def _refused(tool: str, reason: str) -> UnsupportedError:
    return UnsupportedError(
        f"ONNX Runtime's {tool} takes the model",
        received=printable(reason)[:300],
        remedy="look at the operators with edgequant inspect, or leave onnx-mobile out",
    )
