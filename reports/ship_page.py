"""Page of ``edgequant ship``: contents of a bundle and results of its proofs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from reports.page import Cell, Column, Facts, Kind, Page, Part, Prose, Section, Table
from reports.task_rows import card_figures, card_heads, card_labelled

Manifest = dict[str, Any]

_VERDICTS = ("proven", "within a step", "failed", "not run")


@dataclass(frozen=True)
class Shipped:
    """File of a bundle.

    Attributes:
        path: path inside the bundle.
        size_bytes: size of the file.
        sha256: digest of its bytes.
    """

    path: str
    size_bytes: int
    sha256: str


@dataclass(frozen=True)
class Gate:
    """Limit that the user set.

    Attributes:
        option: option with its value, such as ``--max-flash 1M``.
        outcome: ``kept``, or the sentence of the failure.
    """

    option: str
    outcome: str


def page(
    manifest: Manifest,
    files: Sequence[Shipped],
    gates: Sequence[Gate],
    generated: str,
    data: tuple[tuple[str, str], ...] = (),
) -> Page:
    """Page of a bundle.

    Args:
        manifest: contents of bundle.json.
        files: all files of the bundle.
        gates: limits of this run; empty if none were set.
        generated: command that made the bundle.
        data: name and relative path of manifest, guide and zip.
    """
    sections = [
        Section("Proofs", _proofs(manifest)),
        *(_target(name, values, files) for name, values in manifest["targets"].items()),
        Section("Limits", (_gates(gates),)),
        Section("Accuracy", _accuracy(manifest["accuracy"])),
        Section("Files for all platforms", (_shared_files(manifest, files),)),
        _conditions(manifest),
    ]
    title = f"{manifest['model']}: files and proofs"
    return Page(title, lead(manifest, files), tuple(sections), generated, data)


def lead(manifest: Manifest, files: Sequence[Shipped]) -> str:
    """Main result in a sentence: number of proofs by verdict, and size of the bundle."""
    verdicts = [p["verdict"] for t in manifest["targets"].values() for p in t["proofs"]]
    counts = {verdict: verdicts.count(verdict) for verdict in _VERDICTS}
    results = ", ".join(f"**{count} {verdict}**" for verdict, count in counts.items() if count)
    size = sum(file.size_bytes for file in files)
    count = len(manifest["targets"])
    platforms = f"{count} platform{'s' if count > 1 else ''}"
    failed = " Do not ship before the failed proofs hold." if counts["failed"] else ""
    return (
        f"{len(files)} files ({size / 1e6:,.1f} MB) for {platforms}. Of {len(verdicts)} proofs: "
        f"{results or 'none'}.{failed}"
    )


def _proofs(manifest: Manifest) -> tuple[Part, ...]:
    columns = (Column("platform"), Column("proof"), Column("verdict"), Column("result"))
    rows = tuple(
        (name, proof["name"], proof["verdict"], proof["sentence"])
        for name, values in manifest["targets"].items()
        for proof in values["proofs"]
    )
    caption = (
        "Each platform's own runtime on the test vectors of its folder. Not run: the runtime is "
        "not installed, so there is no result."
    )
    return (Table(caption, columns, rows),)


def _target(name: str, values: dict[str, Any], files: Sequence[Shipped]) -> Section:
    """Section of a platform: models with recipe and calibration, budgets, folder."""
    parts: list[Part] = []
    columns = (
        Column("role"),
        Column("recipe"),
        Column("input and output"),
        Column("calibrated on"),
        Column("folded"),
    )
    rows = tuple(
        (
            role,
            file["recipe"]["name"],
            file["recipe"]["io"],
            _calibration(file["calibration"]),
            file["folded"] or "-",
        )
        for role, file in values["files"].items()
    )
    parts.append(Table("Models with recipe and calibration.", columns, rows))
    if values["budgets"]:
        parts.append(_budgets(values["budgets"]))
    own = [file for file in files if file.path.startswith(f"{name}/")]
    parts.append(_files(f"Folder `{name}/`; test vectors are in `vectors/`.", own))
    return Section(values["title"], tuple(parts))


def _calibration(values: dict[str, Any] | None) -> str:
    return "-" if values is None else f"{values['images']:,} images of {values['data']}"


def _budgets(budgets: list[dict[str, Any]]) -> Table:
    columns = (
        Column("what"),
        Column("flash, bytes", Kind.NUMBER),
        Column("SRAM, bytes", Kind.NUMBER),
    )
    rows = tuple((b["what"], _bytes(b["flash"]), _bytes(b["sram"])) for b in budgets)
    return Table("Flash and SRAM on the chip.", columns, rows)


def _bytes(value: int | None) -> Cell:
    return Cell("not measured") if value is None else Cell(f"{value:,}", value)


def _gates(gates: Sequence[Gate]) -> Part:
    if not gates:
        return Prose("No limit was set: see `--max-flash`, `--max-sram` and `--min-npu`.")
    rows = tuple((gate.option, gate.outcome) for gate in gates)
    return Table("Limits of this run.", (Column("limit"), Column("outcome")), rows)


def _accuracy(values: dict[str, Any]) -> tuple[Part, ...]:
    if "reason" in values:
        return (Prose(f"Not measured: {values['reason']}."),)
    first, likeness = card_heads(values)
    columns = (
        Column("file"),
        Column("runtime"),
        Column(first.head, Kind.NUMBER, first.note),
        Column(
            likeness.head, Kind.NUMBER, likeness.note or "images on which both give the same class"
        ),
    )
    rows = tuple(
        (row["file"], row["runtime"], *card_figures(values, row)) for row in values["rows"]
    )
    of = values["data"] if card_labelled(values) else f"{values['data']}, which have no labels"
    caption = (
        f"n = {values['images']:,} images of {of}, drawn at random; "
        "`edgequant evaluate` measures all of them, with an interval."
    )
    remarks = (Prose(f"{remark}.") for remark in values.get("remarks", ()))
    return (Table(caption, columns, rows), *remarks)


def _shared_files(manifest: Manifest, files: Sequence[Shipped]) -> Table:
    folders = tuple(f"{name}/" for name in manifest["targets"])
    shared = [file for file in files if not file.path.startswith(folders)]
    caption = "`sha256sum --check SHA256SUMS` checks the whole bundle."
    return _files(caption, shared)


def _files(caption: str, files: Sequence[Shipped]) -> Table:
    columns = (Column("file"), Column("bytes", Kind.NUMBER), Column("sha256"))
    rows = tuple((f.path, Cell(f"{f.size_bytes:,}", f.size_bytes), f.sha256) for f in files)
    return Table(caption, columns, rows)


def _conditions(manifest: Manifest) -> Section:
    vectors = manifest["vectors"]
    contract = manifest["preprocessing"]
    labels = contract.get("labels", [])
    items = [
        ("Model", manifest["model"]),
        ("Model, sha256", manifest["model_sha256"]),
        ("Test vectors", f"{vectors['images']:,} images of {vectors['data']}"),
        ("Classes", f"{len(labels):,}"),
        *((str(key), str(value)) for key, value in contract.items() if key != "labels"),
        *manifest["versions"].items(),
    ]
    return Section("Model, contract and versions", (Facts(tuple(items)),))
