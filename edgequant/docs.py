"""Writes the generated sections of the docs: ``python -m edgequant.docs`` (``make docs``).

A section stands between ``<!-- generated: NAME -->`` and ``<!-- end -->``; a test fails if its text
differs from what this module writes.
"""

from __future__ import annotations

import csv
import io
import json
import re
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import click

import edgequant.process  # noqa: F401 - a process of ours
from calibration_data.datasets.base import dataset_kinds
from edgequant.cli.main import cli
from edgequant.cli.terminal import Terminal
from edgequant.docs_rooms import drawing
from evaluation.session import runtimes
from foundation.atomic import write_whole
from models.spec import model_specs
from models.weights.named import known_weights
from quantize.recipes import RECIPES
from reports import tables
from reports.accuracy import accuracy_tables
from reports.ranks import rank_table
from studies.relu6 import docs as relu6

HOME = Path(__file__).resolve().parent.parent
PAGES = (
    Path("README.md"),
    Path("ARCHITECTURE.md"),
    Path("docs/benchmarks.md"),
    Path("docs/commands.md"),
    Path("docs/data.md"),
    Path("docs/models.md"),
    Path("docs/recipes.md"),
    Path("docs/scaling.md"),
    Path("docs/shipping.md"),
    Path("docs/sweeps.md"),
    Path("docs/why-relu6.md"),
)
_RESULTS = Path("benchmarks/results")
_PART = re.compile(r"(<!-- generated: ([\w ./-]+) -->\n).*?(<!-- end -->)", re.DOTALL)


def rendered(page: str) -> str:
    """Text of a page with its generated sections written again."""

    def part(match: re.Match[str]) -> str:
        name, _, argument = match[2].partition(" ")
        return f"{match[1]}{_PARTS[name](argument).rstrip()}\n{match[3]}"

    return _PART.sub(part, page)


def _recipes(_: str) -> str:
    rows = [
        f"| `{r.name}` | {r.summary} | {r.io.value} | {'yes' if r.needs_calibration else 'no'} |"
        for r in RECIPES
    ]
    return "\n".join(["| recipe | what | I/O | calibration |", "|---|---|---|---|", *rows])


def _models(_: str) -> str:
    rows = [
        f"| `{s.name}` | {s.task} | {s.summary} | {'x'.join(map(str, s.input_shape))} "
        f"| {s.classes} | {', '.join(known_weights(s))} |"
        for s in model_specs().values()
    ]
    head = ["| model | task | what | input | classes | weights |", "|---|---|---|---|---:|---|"]
    return "\n".join([*head, *rows])


def _datasets(_: str) -> str:
    rows = [
        f"| `{_cell(kind.syntax)}` | {kind.summary} |" for kind in dataset_kinds() if kind.listed
    ]
    return "\n".join(["| DATA | what |", "|---|---|", *rows])


def _cell(text: str) -> str:
    """A text in a cell of a Markdown table, where a bar would begin the next one."""
    return text.replace("|", r"\|")


def _runtimes(_: str) -> str:
    rows = [
        f"| `{r.name}`{' (default)' if r.default else ''} | {', '.join(r.suffixes)} | {r.summary} |"
        for r in runtimes().values()
    ]
    return "\n".join(["| runtime | files | what |", "|---|---|---|", *rows])


def _commands(_: str) -> str:
    parts = [_help([])]
    for name, command in cli.commands.items():
        parts.append(_help([name]))
        if isinstance(command, click.Group):
            parts += [_help([name, part]) for part in command.commands]
    return "\n\n".join(parts)


def _help(path: list[str]) -> str:
    # As a command that runs: click keeps the help option of the first context that asks for it.
    context = click.Context(cli, info_name="edgequant", **cli.context_settings)
    command: click.Command = cli
    for name in path:
        assert isinstance(command, click.Group)
        command = command.commands[name]
        context = click.Context(command, info_name=name, parent=context)
    context.terminal_width = 100
    title = " ".join(["edgequant", *path])
    return f"## {title}\n\n```\n{command.get_help(context)}\n```"


def _results(name: str) -> str:
    report = json.loads((HOME / _RESULTS / f"{name}.json").read_text(encoding="utf-8"))
    said = [*tables.conditions(report), _measured_at(f"{name}.json")]
    lines = "\n".join(f"- {line}" for line in said)
    return f"\n{tables.markdown_table(report)}\n{lines}\n"


_BRIEF = ("tflite-float32", "tflite-float16", "tflite-int8")
"""Recipes of the short table."""

_BRIEF_COLUMNS = (
    "recipe",
    "size kB",
    "top-1 %",
    "drop, points [95 %]",
    "answers changed",
    "p50 ms",
)


def _summary(name: str) -> str:
    """Short table of a comparison of a classifier: what a reader decides by."""
    rows = _stored(name, _BRIEF)["rows"]
    columns = {column.head: column for column in tables.columns_of(rows)}
    shown = [columns[head] for head in _BRIEF_COLUMNS]
    lines = [
        "| " + " | ".join(column.head for column in shown) + " |",
        "|" + "|".join("---:" if column.numeric else "---" for column in shown) + "|",
    ]
    lines += ["| " + " | ".join(column.cell(row) for column in shown) + " |" for row in rows]
    return "\n".join(lines)


def _terminal(argument: str) -> str:
    """What ``edgequant quantize`` prints of one recipe of a comparison."""
    name, recipe = argument.split()
    report = _stored(name, ("keras-float32", recipe))
    screen = io.StringIO()
    terminal = Terminal(machine_readable=False, out=screen, err=screen)
    terminal.table(tables.screen_table(report), tables.DETAILS)
    lines = [line.rstrip() for line in screen.getvalue().splitlines() if line.strip()]
    command = f"$ edgequant quantize --recipe {recipe} --data {report['data']}"
    return "\n".join(["```", command, *lines, tables.conditions(report)[0], "```"])


def _stored(name: str, chosen: tuple[str, ...]) -> dict[str, Any]:
    """Stored comparison with these rows alone, in this order."""
    report = json.loads((HOME / _RESULTS / f"{name}.json").read_text(encoding="utf-8"))
    rows = {row["name"]: row for row in report["rows"]}
    return {**report, "rows": [rows[one] for one in chosen]}


def _figures(argument: str) -> str:
    """Table of a benchmark's CSV: one row per subject and one column per quantity.

    The argument is the file's name, and the units of the columns where they are not all. How it was
    measured stands below the table with the last of the file's figures.
    """
    name, *units = argument.split()
    every = _rows(f"{name}.csv")
    figures = [f for f in every if not units or f["unit"] in units]
    quantities = list(dict.fromkeys((f["quantity"], f["unit"]) for f in figures))
    values = {(f["subject"], f["quantity"]): _number(f["value"]) for f in figures}
    lines = [
        "| what | " + " | ".join(f"{name}, {unit}" for name, unit in quantities) + " |",
        "|---|" + "---:|" * len(quantities),
    ]
    for subject in dict.fromkeys(f["subject"] for f in figures):
        cells = (values.get((subject, name), "-") for name, _ in quantities)
        lines.append(f"| {subject} | {' | '.join(cells)} |")
    last = every[-1]
    if figures[-1] is not last:
        return "\n".join(lines)
    counts = ", ".join(sorted({f["n"] for f in figures}, key=int))
    where = f"{last['cpu']} ({last['flags']}; {last['cores']} cores), {last['versions']}"
    measured = _measured_at(f"{name}.csv")
    return "\n".join([*lines, "", f"n = {counts}; {where}; {last['date']}. {measured}"])


def _sweep(name: str) -> str:
    """Files on a front of a stored sweep, the best first, with the conditions below."""
    every = _rows(f"{name}.csv")
    front = sorted((r for r in every if r["front"]), key=lambda r: -float(r["value"]))
    lines = [
        "| file | top-1 % [95 %] | drop, points [95 %] | size kB | p50 ms | MACs M | arena kB |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    for row in front:
        top1, drop = (
            f"{float(row[mean]):.2f} [{float(row[low]):.2f}, {float(row[high]):.2f}]"
            for mean, low, high in (("value", "low", "high"), ("drop", "drop_low", "drop_high"))
        )
        costs = [
            f"{float(row[key]) / scale:,.{digits}f}" + (" *" if key in row["front"].split() else "")
            for key, scale, digits in (
                ("bytes", 1e3, 0), ("latency_ms", 1, 2), ("macs", 1e6, 0), ("arena_bytes", 1e3, 0)
            )
        ]  # fmt: skip
        words = " ".join(word for word in (row["model"], row["recipe"], row["effort"]) if word)
        lines.append(f"| {words} | {top1} | {drop} | {' | '.join(costs)} |")
    said = f"n = {int(every[0]['n']):,}, {len(front)} of {len(every)} files; an asterisk marks the"
    return "\n".join([*lines, "", f"{said} front of that cost. {_measured_at(f'{name}.csv')}"])


def _number(text: str) -> str:
    """A whole number with commas between its thousands; any other as it is."""
    return f"{int(text):,}" if text.isdigit() else text


def _measured_at(file: str) -> str:
    """Sentence with the commit that a stored result was measured at (``benchmarks.sources``)."""
    with (HOME / _RESULTS / "sources.csv").open(newline="", encoding="utf-8") as handle:
        commits = {row["file"]: row["commit"] for row in csv.DictReader(handle)}
    return f"Measured at commit {commits[file]}."


def _accuracy(name: str) -> str:
    """Tables of all quantizers on all networks of a CSV; ``accuracy`` if none is named."""
    file = f"{name or 'accuracy'}.csv"
    return f"\n{accuracy_tables(_rows(file))}\n\n{_measured_at(file)}\n"


def _ranks(name: str) -> str:
    """Table of how the likeness of a file to float orders the drops, from the same CSV."""
    return rank_table(_rows(f"{name}.csv"))


def _rows(file: str) -> list[dict[str, str]]:
    with (HOME / _RESULTS / file).open(newline="", encoding="utf-8") as handle:
        return list(csv.DictReader(handle))


_PARTS: dict[str, Callable[[str], str]] = {
    "recipes": _recipes,
    "models": _models,
    "datasets": _datasets,
    "runtimes": _runtimes,
    "commands": _commands,
    "results": _results,
    "figures": _figures,
    "sweep": _sweep,
    "accuracy": _accuracy,
    "ranks": _ranks,
    "rooms": lambda _: drawing(),
    "summary": _summary,
    "terminal": _terminal,
    "relu6": relu6.part,
}


def main() -> None:
    """Write every page again and print the names of those that changed."""
    for page in PAGES:
        path = HOME / page
        old = path.read_text(encoding="utf-8")
        new = rendered(old)
        if new != old:
            write_whole(path, partial(Path.write_text, data=new, encoding="utf-8"))
            sys.stdout.write(f"{page}\n")


if __name__ == "__main__":
    main()
