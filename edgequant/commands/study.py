"""``edgequant study``: run a study of this project and write its page."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from calibration_data.datasets.base import open_dataset
from edgequant.artifacts import write_json
from edgequant.cli.terminal import Terminal
from foundation.extras import PAGES


@dataclass(frozen=True)
class Relu6Request:
    """Run of the ReLU6 study.

    Attributes:
        output: folder for page, data and the steps of an unfinished run.
        retrain: train the networks first, instead of reading the shipped checkpoints.
        data: DATA text of the training images.
        test_images: largest number of test images; None for the study's default.
        update: also write ``studies/relu6/results``.
    """

    output: Path
    retrain: bool
    data: str
    test_images: int | None
    update: bool


def relu6_command(request: Relu6Request, terminal: Terminal) -> None:
    """Train with --retrain, measure, and write page, JSON and CSV."""
    from edgequant.process_pool import process_pool
    from evaluation.machine import this_machine
    from reports.html import write_page
    from studies.relu6 import checkpoints, train
    from studies.relu6.networks import variants
    from studies.relu6.page import page_of
    from studies.relu6.results import TYPES, committed
    from studies.relu6.study import TEST_IMAGES, Plan, available, run, total_steps

    PAGES.require()
    folder = checkpoints.shipped()
    if request.retrain:
        folder = request.output / "checkpoints"
        train.train_all(
            variants(),
            open_dataset(request.data),
            request.output / "training",
            folder,
            tell=terminal.note,
        )
    plan = Plan(
        networks=available(folder),
        checkpoints=folder,
        steps=request.output / "steps",
        test=request.test_images or TEST_IMAGES,
    )
    with (
        terminal.progress("study", total_steps(plan)) as advance,
        process_pool(len(plan.networks)) as pool,
    ):
        results = run(plan, advance, pool)
    written = results.write(request.output)
    if request.update:
        for path in written:
            shutil.copyfile(path, committed() / path.name)
    machine = this_machine()
    facts = (
        ("machine", f"{machine.cpu}, {machine.usable_cores} cores"),
        ("versions", ", ".join(f"{k} {v}" for k, v in machine.packages.items())),
    )
    write_json(request.output / "relu6.json", {**results.to_dict(), "facts": dict(facts)})
    page = request.output / "index.html"
    write_page(page_of(results, facts), page)
    terminal.say(f"page  {page}")
    terminal.say(f"data  {request.output}/relu6.json and {len(TYPES)} CSV files")
    terminal.result({"page": str(page), "networks": len(plan.networks), "data": list(TYPES)})
