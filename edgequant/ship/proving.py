"""Run proofs on a target's folder, and show what came of them."""

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
    """A proof's name with its result."""

    name: str
    result: ProofResult

    @property
    def figures(self) -> Mapping[str, Any]:
        """Figures of a proof that came out well; none of another."""
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
        """Read back what ``to_dict`` gave."""
        verdict = Verdict(values["verdict"])
        return cls(values["name"], ProofResult(verdict, values["sentence"], values["figures"]))


def prove(
    names: tuple[str, ...], folder: Path, scratch: Path | None, runtimes: Mapping[str, Path]
) -> list[Proven]:
    """Run proofs in order.

    Args:
        names: registered ones.
        folder: of the ship target.
        scratch: keeps files that figures speak of; None for a folder that goes away.
        runtimes: interpreters by runtime.

    Raises:
        InvalidInputError: files that cannot be read, or no room for the files of a proof: then
            nothing is known, and no proof has failed.
    """
    needed = 2 * sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    known = proofs()
    results = []
    for name in names:
        proof = known[name]
        with temporary_scratch() as temporary:
            place = temporary if scratch is None else scratch / name
            place.mkdir(exist_ok=True)
            require_space(place, needed)
            request = ProofRequest(folder.absolute(), place.absolute(), runtimes.get(proof.runtime))
            with reading(folder, "a proof can read the files of its target", "make them again"):
                results.append(Proven(name, proof.run(request)))
            if results[-1].result.verdict is Verdict.FAILED:
                require_space(place, 0)
    return results


def show_proofs(target: str, results: list[Proven], terminal: Terminal) -> None:
    """One line a proof."""
    terminal.say(f"{target}:")
    for proven in results:
        verdict = proven.result.verdict.value
        shown = verdict.upper() if proven.result.verdict is Verdict.FAILED else verdict
        terminal.say(f"  {shown}: {printable(proven.result.sentence)}")


def _public(values: Any) -> Any:
    """Without what is only for the run: names that begin with an underscore."""
    if isinstance(values, Mapping):
        return {k: _public(v) for k, v in values.items() if not k.startswith("_")}
    if isinstance(values, list):
        return [_public(v) for v in values]
    return values
