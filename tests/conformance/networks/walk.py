"""Writes the table of networks: two processes, and a run that was killed goes on where it was.

Finished networks lie in a folder until the table is complete. A network that ends its process, or
takes too long, is a red cell.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from queue import SimpleQueue

from foundation.atomic import write_whole
from tests.conformance.networks.cells import (
    NETWORKS,
    NetworkCell,
    read_cells,
    table_text,
    write_part,
)
from tests.conformance.networks.measuring import PAIR, RUNTIMES
from tests.conformance.networks.registry import styles

HOME = Path(__file__).resolve().parents[3]
UNFINISHED = HOME / "artifacts" / "conformance"
PROCESSES = 2
TIME_LIMIT = 1800.0
"""Seconds that a network may take."""


@dataclass
class Worker:
    """A process that measures the networks whose names it reads, and answers each with a line.

    Attributes:
        folder: folder for parts of the table and for the process's messages.
        number: its number, for the name of the log.
        process: the process; None before the first network and after a failure.
    """

    folder: Path
    number: int
    process: subprocess.Popen[str] | None = field(default=None, repr=False)

    def measure(self, name: str) -> None:
        """Measure a network; its part of the table is written, whatever happens."""
        process = self._started()
        assert process.stdin is not None
        assert process.stdout is not None
        timer = threading.Timer(TIME_LIMIT, process.kill)
        timer.start()
        try:
            process.stdin.write(f"{name}\n")
            process.stdin.flush()
            answered = process.stdout.readline().strip() == name
        except BrokenPipeError:
            answered = False
        finally:
            timer.cancel()
        if not answered:
            self.process = None
            write_part(self.folder, name, _failed(name, process.wait()))
            process.stdout.close()
            with suppress(BrokenPipeError):  # the name may not have been read
                process.stdin.close()

    def close(self) -> None:
        """End the process, which stops at the end of its input."""
        if self.process is not None:
            self.process.communicate()

    def _started(self) -> subprocess.Popen[str]:
        if self.process is None:
            command = (sys.executable, "-m", "tests.conformance.networks.worker", str(self.folder))
            with (self.folder / f"worker-{self.number}.log").open("ab") as log:
                self.process = subprocess.Popen(
                    command, cwd=HOME, text=True, stderr=log,
                    stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                )  # fmt: skip
        return self.process


def write_networks(names: tuple[str, ...] = ()) -> None:
    """Measure every network, or these, and write the table; other networks keep their rows."""
    wanted = names or tuple(styles())
    folder = UNFINISHED / _sources()
    folder.mkdir(parents=True, exist_ok=True)
    waiting: SimpleQueue[str] = SimpleQueue()
    for name in _smallest_first(wanted):
        if not (folder / f"{name}.csv").is_file():
            waiting.put(name)
    with ThreadPoolExecutor(PROCESSES) as pool:
        workers = [Worker(folder, number) for number in range(PROCESSES)]
        list(pool.map(partial(_work, waiting), workers))
    known = read_cells(NETWORKS)
    rows = {key: cell for key, cell in known.items() if key[0] not in wanted}
    for name in wanted:
        rows |= read_cells(folder / f"{name}.csv")
    order = {name: number for number, name in enumerate(styles())}
    kept = sorted((c for c in rows.values() if c.network in order), key=lambda c: order[c.network])
    write_whole(NETWORKS, partial(Path.write_text, data=table_text(kept), encoding="utf-8"))
    shutil.rmtree(folder)


def _work(waiting: SimpleQueue[str], worker: Worker) -> None:
    while not waiting.empty():
        name = waiting.get()
        sys.stderr.write(f"networks: {name} ({waiting.qsize()} wait)\n")
        worker.measure(name)
    worker.close()


def _smallest_first(names: tuple[str, ...]) -> list[str]:
    """Small networks, beginnings, architectures: a run that is ended early has the first ones."""
    return sorted(names, key=lambda name: (not name.islower(), not name.endswith("_start")))


def _failed(name: str, code: int) -> list[NetworkCell]:
    how = f"signal {-code}" if code < 0 else f"exit code {code}"
    sentence = f"BUG the process ended with {how}"
    cells = (NetworkCell(name, recipe, RUNTIMES[f".{recipe.partition('-')[0]}"]) for recipe in PAIR)
    return [replace(cell, made="no", sentence=sentence) for cell in cells]


def _sources() -> str:
    """Digest of the Python files that the table depends on: parts of other code are not used."""
    digest = hashlib.sha256()
    rooms = ("calibration_data", "models", "network", "quantize", "export", "evaluation")
    for room in (*rooms, "edgequant", "foundation", "tests/conformance/networks"):
        for path in sorted((HOME / room).rglob("*.py")):
            digest.update(os.fsencode(path.relative_to(HOME)) + path.read_bytes())
    return digest.hexdigest()[:16]
