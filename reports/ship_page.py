"""The page of ``edgequant ship``: what is in a bundle and what was proven of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from reports.page import Cell, Column, Facts, Kind, Page, Part, Prose, Section, Table
from reports.tables import percent

Manifest = dict[str, Any]

_VERDICTS = ("proven", "within a step", "failed", "not run")


@dataclass(frozen=True)
class Shipped:
    """A file of a bundle.

    Attributes:
        path: inside the bundle.
        size_bytes: of it.
        sha256: of its bytes.
    """

    path: str
    size_bytes: int
    sha256: str


@dataclass(frozen=True)
class Gate:
    """A limit that the user set.

    Attributes:
        option: such as ``--max-flash 1M``.
        outcome: ``kept``, or the sentence that says what was received.
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
    """The page of a bundle.

    Args:
        manifest: the bundle's bundle.json.
        files: everything in the bundle.
        gates: the limits of this run, none where none were set.
        generated: the command that made the bundle.
        data: name and relative file of what the page is about: the manifest, the zip.
    """
    sections = [
        Section("Proofs", _proofs(manifest)),
        *(_target(name, values, files) for name, values in manifest["targets"].items()),
        Section("Limits", (_gates(gates),)),
        Section("Accuracy", (_accuracy(manifest["accuracy"]),)),
        Section("Beside the platforms", (_shared_files(manifest, files),)),
        _conditions(manifest),
    ]
    title = f"{manifest['model']}: what ships, and what is proven"
    return Page(title, lead(manifest, files), tuple(sections), generated, data)


def lead(manifest: Manifest, files: Sequence[Shipped]) -> str:
    """How many proofs came out how, and how large the bundle is."""
    verdicts = [p["verdict"] for t in manifest["targets"].values() for p in t["proofs"]]
    counts = {verdict: verdicts.count(verdict) for verdict in _VERDICTS}
    told = ", ".join(f"**{count} {verdict}**" for verdict, count in counts.items() if count)
    size = sum(file.size_bytes for file in files)
    count = len(manifest["targets"])
    platforms = f"{count} platform{'s' if count > 1 else ''}"
    failed = " Look at the failed ones before anything ships." if counts["failed"] else ""
    return (
        f"{len(files)} files ({size / 1e6:,.1f} MB) for {platforms}. Of {len(verdicts)} proofs: "
        f"{told or 'none'}.{failed}"
    )


def _proofs(manifest: Manifest) -> tuple[Part, ...]:
    columns = (Column("platform"), Column("proof"), Column("verdict"), Column("what was seen"))
    rows = tuple(
        (name, proof["name"], proof["verdict"], proof["sentence"])
        for name, values in manifest["targets"].items()
        for proof in values["proofs"]
    )
    caption = (
        "Each platform's own runtime on the test vectors of its folder. Not run: the runtime is "
        "not installed, so nothing is known."
    )
    return (Table(caption, columns, rows),)


def _target(name: str, values: dict[str, Any], files: Sequence[Shipped]) -> Section:
    """One platform: its models with recipe and calibration, its budgets, its folder."""
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
    parts.append(Table("Models, and what they were made with.", columns, rows))
    if values["budgets"]:
        parts.append(_budgets(values["budgets"]))
    own = [file for file in files if file.path.startswith(f"{name}/")]
    parts.append(_files(f"The folder `{name}/`; test vectors lie in `vectors/`.", own))
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
    return Table("What it takes on the chip.", columns, rows)


def _bytes(value: int | None) -> Cell:
    return Cell("not measured") if value is None else Cell(f"{value:,}", value)


def _gates(gates: Sequence[Gate]) -> Part:
    if not gates:
        return Prose("No limit was set: see `--max-flash`, `--max-sram` and `--min-npu`.")
    rows = tuple((gate.option, gate.outcome) for gate in gates)
    return Table("Limits of this run.", (Column("limit"), Column("outcome")), rows)


def _accuracy(values: dict[str, Any]) -> Part:
    if "reason" in values:
        return Prose(f"Not measured: {values['reason']}.")
    columns = (
        Column("file"),
        Column("runtime"),
        Column("top-1 %", Kind.NUMBER),
        Column("as float %", Kind.NUMBER, "images on which it answers as the float model does"),
    )
    rows = tuple(
        (row["file"], row["runtime"], percent(row["top1"]), f"{row['as_float']:.2f}")
        for row in values["rows"]
    )
    labelled = all(row["top1"] is not None for row in values["rows"])
    of = values["data"] if labelled else f"{values['data']}, which have no labels"
    caption = (
        f"n = {values['images']:,} images of {of}, drawn at random; "
        "`edgequant evaluate` measures all of them, with an interval."
    )
    return Table(caption, columns, rows)


def _shared_files(manifest: Manifest, files: Sequence[Shipped]) -> Table:
    folders = tuple(f"{name}/" for name in manifest["targets"])
    shared = [file for file in files if not file.path.startswith(folders)]
    caption = "Files for all platforms; `sha256sum --check SHA256SUMS` checks the whole bundle."
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
    return Section("What it was made from", (Facts(tuple(items)),))
