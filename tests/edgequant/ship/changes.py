"""Changes that somebody makes to a bundle, by harm or by accident."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from edgequant.ship.bundle import write_sums

MICRO = "microcontroller"

Change = Callable[[Path], object]


def appended(file: str, text: str) -> Change:
    def change(folder: Path) -> None:
        path = folder / file
        path.write_text(path.read_text() + text)

    return change


def replaced(file: str, old: str, new: str) -> Change:
    def change(folder: Path) -> None:
        text = (folder / file).read_text()
        assert old in text
        (folder / file).write_text(text.replace(old, new, 1))

    return change


def edited(file: str, *keys: Any, value: Any) -> Change:
    """A value in a JSON file, by the keys that lead to it."""

    def change(folder: Path) -> None:
        whole = inner = json.loads((folder / file).read_text())
        for key in keys[:-1]:
            inner = inner[key]
        inner[keys[-1]] = value
        (folder / file).write_text(json.dumps(whole, indent=2) + "\n")

    return change


def manifest(*keys: Any, value: Any) -> Change:
    return edited("bundle.json", *keys, value=value)


def vectors(*keys: Any, value: Any) -> Change:
    return edited(f"{MICRO}/vectors/int8.json", *keys, value=value)


def added(file: str, text: str = "x") -> Change:
    def change(folder: Path) -> None:
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).write_text(text)

    return change


def without(*keys: Any) -> Change:
    def change(folder: Path) -> None:
        whole = inner = json.loads((folder / "bundle.json").read_text())
        for key in keys[:-1]:
            inner = inner[key]
        del inner[keys[-1]]
        (folder / "bundle.json").write_text(json.dumps(whole))

    return change


def written(file: str, content: bytes) -> Change:
    return lambda folder: (folder / file).write_bytes(content)


def pages(folder: Path) -> None:
    """Write the guide and the card anew, as somebody does who forges a bundle well."""
    from edgequant.ship.docs import model_card, shipping_guide

    values = json.loads((folder / "bundle.json").read_text())
    guide = (folder / "SHIPPING.md").read_text()
    sections = [
        guide.partition(f"`{name}/`\n\n")[2].partition("\n\n- ")[0] for name in values["targets"]
    ]
    (folder / "SHIPPING.md").write_text(shipping_guide(values, sections))
    (folder / "MODEL_CARD.md").write_text(model_card(values, folder))
    write_sums(folder)


def pipe(file: str) -> Change:
    def change(folder: Path) -> None:
        (folder / file).unlink(missing_ok=True)
        os.mkfifo(folder / file)

    return change


def link(file: str) -> Change:
    def change(folder: Path) -> None:
        (folder / file).unlink(missing_ok=True)
        (folder / file).symlink_to("/etc/passwd")

    return change
