"""Proofs on the folder of a target, and their results on the terminal."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgequant.cli.terminal import Terminal
from evaluation.proofs.proof import ProofRequest, ProofResult, Verdict, proofs
from foundation.foreign import printable, reading
from foundation.scratch import require_space, temporary_scratch


@dataclass(frozen=True)
class Proven:
    """Name of a proof with its result."""

    name: str
    result: ProofResult

    @property
    def figures(self) -> Mapping[str, Any]:
        """Figures of a proof that holds; empty for others."""
        good = self.result.verdict in (Verdict.PROVEN, Verdict.WITHIN_A_STEP)
        return self.result.figures if good else {}

    def to_dict(self) -> dict[str, Any]:
        """Plain values for the manifest."""
        figures = _public(self.result.figures)
        return {
            "name": self.name,
            "verdict": self.result.verdict.value,
            "sentence": self.result.sentence,
            "figures": figures,
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Proven:
        """Result from the values of ``to_dict``."""
        verdict = Verdict(values["verdict"])
        return cls(values["name"], ProofResult(verdict, values["sentence"], values["figures"]))


def prove(
    names: tuple[str, ...], folder: Path, scratch: Path | None, runtimes: Mapping[str, Path]
) -> list[Proven]:
    """Run proofs in order.

    Args:
        names: names of registered proofs.
        folder: folder of the target.
        scratch: folder for files that figures name; None for a temporary folder.
        runtimes: path of an interpreter or folder, by runtime.

    Raises:
        InvalidInputError: files cannot be read, or the disk is full: then no proof has a result.
    """
    needed = 2 * sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    known = proofs()
    results = []
    for name in names:
        proof = known[name]
        with temporary_scratch() as temporary:
            work = temporary if scratch is None else scratch / name
            work.mkdir(exist_ok=True)
            require_space(work, needed)
            request = ProofRequest(folder.absolute(), work.absolute(), runtimes.get(proof.runtime))
            with reading(folder, "a proof can read the files of its target", "make them again"):
                results.append(Proven(name, proof.run(request)))
            if results[-1].result.verdict is Verdict.FAILED:
                require_space(work, 0)
    return results


def show_proofs(target: str, results: list[Proven], terminal: Terminal) -> None:
    """Print one line per proof; proofs without their runtime say so once."""
    terminal.say(f"{target}:")
    lines = []
    for proven in results:
        verdict = proven.result.verdict.value
        shown = verdict.upper() if proven.result.verdict is Verdict.FAILED else verdict
        lines.append(f"  {shown}: {printable(proven.result.sentence)}")
    terminal.say("\n".join(dict.fromkeys(lines)))


def _public(values: Any) -> Any:
    """Values without names that begin with an underscore, which are for the run alone."""
    if isinstance(values, Mapping):
        return {k: _public(v) for k, v in values.items() if not k.startswith("_")}
    if isinstance(values, list):
        return [_public(v) for v in values]
    return values
