"""The lines below the bar of a sweep: what runs where."""

from __future__ import annotations

import io
import re
import time
from pathlib import Path

from rich.console import Console

from edgequant.cli.terminal import progress_bars
from edgequant.sweeping.store import FolderStore, write_record
from edgequant.sweeping.watching import Watch


def mark(store: FolderStore, number: int, age: float = 0.0) -> None:
    values = {"where": f"host{number}, process 1", "started": time.time() - age}
    write_record(store, f"running/{number:02d}.json", values)


def test_the_first_tasks_that_run_are_shown_and_the_others_counted(tmp_path: Path) -> None:
    store = FolderStore(tmp_path)
    watch = Watch(store, {f"{n:02d}.json": f"task {n}" for n in range(20)})
    watch.look()
    assert watch.lines() == []
    mark(store, 3, age=60.0)
    mark(store, 30)  # of another sweep
    (tmp_path / "running/04.json").write_text("{")  # being written by something else
    watch.look()
    first, more = watch.lines()
    assert re.fullmatch(r"  host3, process 1, [67]\d s: task 3", first)
    assert more == "  and 1 more"
    for number in range(20):
        mark(store, number)
    watch.look()
    lines = watch.lines()
    assert lines[0].startswith("  host3, process 1")  # stays where it was
    assert len(lines) == 9
    assert lines[-1] == "  and 12 more"
    store.delete("running/03.json")
    watch.look()
    assert not any("host3," in line for line in watch.lines())


def test_lines_stand_below_the_bar() -> None:
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=True, width=60)
    with progress_bars(console, lambda: ["  here: [a] task"]) as bars:
        bars.add_task("sweep", total=2)
        bars.refresh()
    lines = screen.getvalue().splitlines()
    bar = next(n for n, line in enumerate(lines) if "sweep" in line)
    assert "here: [a] task" in lines[bar + 1]
