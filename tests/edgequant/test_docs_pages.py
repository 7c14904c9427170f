"""What the pages say is so: lengths, links, commands, figures, columns, formats, pictures."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import click
import pytest

from calibration_data.preprocessing import Preprocessing
from calibration_data.task import Task
from edgequant.cli.main import cli
from edgequant.docs import HOME
from edgequant.docs_pictures import PICTURES, drawn
from edgequant.docs_rooms import layers, summary
from edgequant.rooms import ROOMS
from edgequant.ship.contents import VERSION
from evaluation.task import task_kinds
from export.bundles.target import ship_targets
from foundation.errors import InvalidInputError
from quantize.plans.plan import FORMAT
from quantize.recipes import RECIPES
from reports import tables
from reports.csv_rows import csv_table
from reports.page import Table
from reports.standalone import Theme
from reports.task_rows import drop_head
from tests.edgequant.conftest import Run
from tests.reports.task_samples import measured, task_page

PAGES = sorted([*HOME.glob("*.md"), *HOME.glob(".github/**/*.md"), *HOME.glob("docs/**/*.md")])
GUIDES = [page for page in PAGES if "adr" not in page.parts and page.name != "CHANGELOG.md"]
CLAIMS = [HOME / "README.md", HOME / "docs" / "choosing-a-recipe.md"]
_NUMBER = re.compile(r"-?\d+(?:\.\d+)?")


def text_of(name: str) -> str:
    return (HOME / name).read_text(encoding="utf-8")


def named(page: Path) -> str:
    return str(page.relative_to(HOME))


def test_the_front_page_is_short() -> None:
    text = text_of("README.md")
    assert len(text.splitlines()) <= 120
    assert ".venv/bin/edgequant" not in text
    assert "make test " in text
    assert "make test\n" in text_of(".ci/run")


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_every_link_leads_somewhere(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    links = re.findall(r"\]\((?!https?://)([^)#]+)", text)
    links += re.findall(r'(?:src|srcset)="([^"]+)"', text)
    for link in links:
        assert (page.parent / link).exists(), link


@pytest.mark.parametrize("page", GUIDES, ids=named)
def test_commands_and_their_options_exist(page: Path) -> None:
    """Each option that stands behind a command is one of that command."""
    text = page.read_text(encoding="utf-8").replace("\\\n", " ")
    text = re.sub(r"<!-- generated: commands -->.*?<!-- end -->", "", text, flags=re.DOTALL)
    for line in re.findall(r"edgequant ((?:[a-z]+\b)[^`\n]*)", text):
        words = line.split("#")[0].split()
        command = cli.commands.get(words[0])
        if command is None:
            assert not any(word.startswith("--") for word in words), line
            continue
        known = _options(command) | {"--help", "--version"}
        if isinstance(command, click.Group):
            known |= {name for inner in command.commands.values() for name in _options(inner)}
        for word in words[1:]:
            if re.fullmatch(r"--[a-z][a-z0-9-]+", word):
                assert word in known, line


def _options(command: click.Command) -> set[str]:
    return {
        text
        for parameter in command.params
        for text in (*parameter.opts, *parameter.secondary_opts)
    }


def test_every_option_on_the_pages_exists_somewhere() -> None:
    known = {"--help", "--version", "--user", "--no-deps"}
    for command in cli.commands.values():
        inner = command.commands.values() if isinstance(command, click.Group) else ()
        known |= set().union(*(_options(one) for one in (command, *inner)))
    for name in ("README.md", "docs/data.md", "docs/models.md", "docs/recipes.md"):
        for option in re.findall(r"(?<![\w-])--[a-z][a-z0-9-]+", text_of(name)):
            assert option in known, f"{name}: {option}"


def test_a_command_is_found_from_the_front_page() -> None:
    assert "(docs/commands.md)" in text_of("README.md")
    commands = text_of("docs/commands.md")
    for name in cli.commands:
        assert f"## edgequant {name}\n" in commands


@pytest.mark.parametrize("page", CLAIMS, ids=named)
def test_bold_figures_are_those_of_the_linked_page(page: Path) -> None:
    """A claim is a bold figure; the pages that its line or bullet links to have that figure."""
    text = page.read_text(encoding="utf-8")
    found = 0
    for block in re.split(r"\n(?=- |\||\n|#)", text):
        figures = re.findall(r"\*\*([+-]?[\d\[][^*]*)\*\*", block)
        if not figures or "](" not in block:
            continue
        linked = [page.parent / link for link in re.findall(r"\]\(([^)#]+\.md)\)", block)]
        sources = "\n".join(path.read_text(encoding="utf-8") for path in linked)
        for figure in figures:
            assert figure in sources, f"{figure}: {[p.name for p in linked]}"
            found += 1
    assert found >= 3


def test_the_short_table_and_the_terminal_are_of_stored_results() -> None:
    """The blocks are generated (test_generated_docs_are_up_to_date); here, that they are shown."""
    text = text_of("README.md")
    rows = json.loads(text_of("benchmarks/results/mobilenet_v2_small-compare.json"))["rows"]
    row = next(row for row in rows if row["name"] == "tflite-int8")
    assert f"| {row['top1']:.2f} |" in text
    assert "$ edgequant quantize --recipe tflite-int8 --data fashion_mnist:test" in text


@pytest.mark.slow
def test_the_front_page_shows_what_the_command_measures(run: Run, tmp_path: Path) -> None:
    """Top-1 of the run is within the interval that the page shows, and the size as shown."""
    outcome = run(
        "quantize", "--recipe", "tflite-int8", "--data", "fashion_mnist:test",
        "--output", tmp_path / "out", "--json",
    )  # fmt: skip
    assert outcome.code == 0, outcome.err
    stored = json.loads(text_of("benchmarks/results/mobilenet_v2_small-compare.json"))["rows"]
    shown = next(row for row in stored if row["name"] == "tflite-int8")
    (now,) = (row for row in _rows(outcome.json) if row["name"] == "tflite-int8")
    low, high = shown["drop_interval"]
    assert low <= now["drop"] <= high
    assert abs(now["size_bytes"] / shown["size_bytes"] - 1) < 0.01


@pytest.mark.slow
def test_the_example_of_a_camera_runs_as_it_is_written(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import keras
    import numpy as np
    from PIL import Image

    monkeypatch.chdir(tmp_path)
    section = text_of("docs/your-model.md").split("<!-- example: camera -->")[1]
    contract, lines = re.findall(r"^```(?:toml)?\n(.*?)^```", section, re.DOTALL | re.MULTILINE)[:2]
    Path("camera.toml").write_text(contract, encoding="utf-8")
    image = keras.Input((96, 96, 1))
    x = keras.layers.Conv2D(4, 3, strides=4, activation="relu")(image)
    x = keras.layers.GlobalAveragePooling2D()(x)
    keras.Model(image, keras.layers.Dense(3, activation="softmax")(x)).save("camera.keras")
    Path("frames").mkdir()
    rng = np.random.default_rng(0)
    for number in range(8):
        pixels = rng.integers(0, 256, (60, 80), dtype=np.uint8)
        Image.fromarray(pixels).save(f"frames/{number}.png")
    for line in lines.splitlines():
        outcome = run(*shlex.split(line)[1:])
        assert outcome.code == 0, f"{line}: {outcome.out} {outcome.err}"
    assert Path("artifacts/camera-ship/c/net.h").is_file()
    guide = Path("artifacts/camera-ship/SHIPPING.md").read_text(encoding="utf-8")
    assert re.search(r"The arena takes [\d,]+ bytes", guide)


def _rows(values: object) -> list[dict[str, object]]:
    """Rows of the only report in the output of ``quantize --json``."""
    if isinstance(values, dict):
        if isinstance(values.get("rows"), list):
            rows: list[dict[str, object]] = values["rows"]
            return rows
        return [row for value in values.values() for row in _rows(value)]
    if isinstance(values, list):
        return [row for value in values for row in _rows(value)]
    return []


@pytest.fixture(scope="module")
def explained() -> dict[str, str]:
    """Sections of the page on reports, by title."""
    parts = re.split(r"^## (.*)\n", text_of("docs/reading-a-report.md"), flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


@pytest.mark.parametrize("task", list(Task), ids=str)
def test_every_metric_that_tables_show_is_explained(task: Task, explained: dict[str, str]) -> None:
    here = explained[str(task).capitalize()] + explained["Columns of every task"]
    kind = task_kinds()[task]
    for metric in kind.metrics:
        assert f"`{metric.name}`" in explained["JSON and CSV"], metric.name
        if metric.listed and metric.name not in ("ties", "kl"):
            assert f"`{metric.head}`" in here, metric.head
    assert f"`{drop_head(kind)}`" in here


@pytest.mark.slow
@pytest.mark.parametrize("task", list(Task), ids=str)
@pytest.mark.parametrize("labelled", [True, False])
def test_every_column_of_a_report_is_explained(
    task: Task, labelled: bool, explained: dict[str, str]
) -> None:
    report = measured(task, labelled=labelled)
    here = explained[str(task).capitalize()] + explained["Columns of every task"]
    heads = {column.head for column in tables.columns_of(report["rows"])}
    for section in task_page(report).sections:
        for part in section.parts:
            if isinstance(part, Table):
                heads |= {column.title for column in part.columns}
    for head in heads:
        assert f"`{head}`" in here, head
    fields = csv_table(report).splitlines()[0].split(",")
    for name in {*fields, *(key for row in report["rows"] for key in row)}:
        assert f"`{name}`" in explained["JSON and CSV"], name


@pytest.mark.slow
def test_no_explained_column_is_gone(explained: dict[str, str]) -> None:
    common = explained["Columns of every task"]
    heads = {head for task in Task for head in _heads(task)}
    for section in (common, *(explained[str(task).capitalize()] for task in Task)):
        for line in re.findall(r"^\| (`[^|]*) \|", section, flags=re.MULTILINE):
            for head in re.findall(r"`([^`]+)`", line):
                assert head in heads, head


def _heads(task: Task) -> set[str]:
    return {column.head for column in tables.columns_of(measured(task)["rows"])}


def test_every_recipe_is_on_the_page_of_choices() -> None:
    text = text_of("docs/choosing-a-recipe.md")
    for recipe in RECIPES:
        assert f"`{recipe.name}" in text or f",{recipe.name}`" in text, recipe.name
    for target in ship_targets():
        assert f"--for {target}" in text or target in text_of("docs/shipping.md"), target


def test_every_platform_is_on_the_page_of_bundles() -> None:
    text = text_of("docs/shipping.md")
    for name in ship_targets():
        assert f"| `{name}` |" in text, name


def test_every_key_of_a_contract_is_on_the_page() -> None:
    with pytest.raises(InvalidInputError) as refused:
        Preprocessing.from_dict({"nonsense": 1})
    keys = refused.value.rule.removeprefix("a contract has the keys ").split(", ")
    text = text_of("docs/data.md")
    assert len(keys) > 8
    for key in keys:
        assert f"`{key}`" in text, key


def test_formats_are_those_that_the_page_promises() -> None:
    text = text_of("docs/compatibility.md")
    assert f'"format": "{FORMAT}"' in text
    assert f'"bundle": {VERSION}' in text


def test_the_drawing_has_every_room_with_a_sentence() -> None:
    rooms = [room for layer in layers() for room in layer]
    assert sorted(rooms) == sorted([*ROOMS, "edgequant"])
    assert all(summary(room).endswith((".", "?")) for room in rooms)


def test_paths_in_the_architecture_exist() -> None:
    for path in re.findall(r"`([\w./-]+/[\w./-]*|\.\w+)`", text_of("ARCHITECTURE.md")):
        assert (HOME / path).exists(), path


def test_pictures_are_what_the_results_draw() -> None:
    """Equal words and marks; lengths may differ in the last digit on other processors."""
    pictures = list(drawn())
    assert len(pictures) == 4
    for path, text in pictures:
        stored = text_of(str(path))
        assert len(stored) < 60_000
        assert _NUMBER.sub("#", stored) == _NUMBER.sub("#", text), f"{path}: run make picture"
        for before, now in zip(_NUMBER.findall(stored), _NUMBER.findall(text), strict=True):
            if before != now:
                assert abs(float(before) - float(now)) < 0.5, f"{path}: run make picture"


def test_every_picture_of_the_docs_is_drawn_and_shown() -> None:
    names = {f"{picture.name}-{theme}.svg" for picture in PICTURES for theme in Theme}
    assert {path.name for path in (HOME / "docs" / "images").iterdir()} == names
    everywhere = "".join(page.read_text(encoding="utf-8") for page in PAGES)
    for name in names:
        assert name in everywhere


def test_versions_agree() -> None:
    version = re.search(r'^version = "(.+)"$', text_of("pyproject.toml"), re.MULTILINE)
    cited = re.search(r"^version: (.+)$", text_of("CITATION.cff"), re.MULTILINE)
    assert version is not None
    assert cited is not None
    assert version[1] == cited[1]


def test_workflows_run_make_targets_alone() -> None:
    """Every step is a target of the Makefile, and every target of .ci/run has a job."""
    workflow = re.sub(r"#.*", "", text_of(".github/workflows/ci.yml"))
    targets = set(re.findall(r"^([a-z0-9-]+):.*## ", text_of("Makefile"), re.MULTILINE))
    targets |= {recipe.name for recipe in RECIPES}
    run = set(re.findall(r"\bmake ([a-z0-9-]+)", workflow))
    assert run <= targets
    ours = re.findall(r"^ *make (?:-C \S+ )?([a-z0-9-]+)", text_of(".ci/run"), re.MULTILINE)
    assert {"test", "tflite-int8"} <= set(ours) <= run
    assert "\t" not in workflow


def test_hooks_are_the_tools_of_make_lint() -> None:
    hooks = text_of(".pre-commit-config.yaml")
    assert "entry: make lint" in hooks
    for tool in re.findall(r"entry: \.venv/bin/(\S+ \S+)", hooks):
        assert f"$(BIN)/{tool}" in text_of("Makefile")
