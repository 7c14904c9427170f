"""The lines of SHIPPING.md, taken from a bundle: run, compiled, or parsed by a grammar."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import evaluation.proofs.cpp17
from export.bundles.resolver_methods import RESOLVER_METHODS
from export.bundles.target import read_vectors
from tests.ship.conftest import KOTLIN, SNIPPETS

pytestmark = pytest.mark.ship
STUBS = Path(__file__).parent / "stubs"
CPP_STUBS = Path(evaluation.proofs.cpp17.__file__).parent / "stubs"
PARSE = """
import importlib, pathlib, sys, tree_sitter
grammar = importlib.import_module(sys.argv[1])
parser = tree_sitter.Parser(tree_sitter.Language(grammar.language()))
source = pathlib.Path(sys.argv[2]).read_bytes()
tree = parser.parse(source)
def faults(node):
    if node.is_error or node.is_missing:
        yield f"line {node.start_point[0] + 1}: {source[node.start_byte:node.end_byte][:60]}"
    for child in node.children:
        yield from faults(child)
sys.exit("; ".join(faults(tree.root_node)) or None)
"""


def snippets(bundle: Path, language: str) -> list[str]:
    """Fenced blocks of one language, in the guide's order."""
    guide = (bundle / "SHIPPING.md").read_text(encoding="utf-8")
    return re.findall(rf"```{language}\n(.*?)```", guide, re.DOTALL)


def split(code: str, head: str) -> tuple[str, str]:
    """Lines that begin with ``head``, and the others."""
    lines = code.splitlines(keepends=True)
    first = "".join(line for line in lines if line.startswith(head))
    return first, "".join(line for line in lines if not line.startswith(head))


def parsed(language: str, code: str, folder: Path) -> subprocess.CompletedProcess[str]:
    source = folder / f"snippet.{language}"
    source.write_text(code, encoding="utf-8")
    command = [str(SNIPPETS), "-c", PARSE, f"tree_sitter_{language}", str(source)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def compiled_kotlin(lines: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Compile lines as the body of a function, against declarations of the classes they use."""
    imports, rest = split(lines, "import ")
    body = "fun snippet(context: android.content.Context, bitmap: android.graphics.Bitmap) {\n"
    (folder / "Snippet.kt").write_text(f"{imports}{body}{rest}}}\n", encoding="utf-8")
    command = [
        shutil.which("java") or "java", "-Xmx1g", "-cp", f"{KOTLIN}/lib/*",
        "org.jetbrains.kotlin.cli.jvm.K2JVMCompiler", "-kotlin-home", str(KOTLIN), "-no-reflect",
        "-Werror", "-d", str(folder / "out"), str(folder / "Snippet.kt"), str(STUBS),
    ]  # fmt: skip
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("language", ["kotlin", "swift"])
def test_the_grammar_takes_the_lines_and_not_broken_ones(
    bundle: Path, tmp_path: Path, language: str
) -> None:
    (code,) = snippets(bundle, language)
    assert parsed(language, code, tmp_path).stderr == ""
    assert len(code.splitlines()) <= 18
    before, _, after = code.rpartition(")")
    assert parsed(language, before + after, tmp_path).returncode == 1


def test_kotlins_compiler_takes_the_lines(bundle: Path, tmp_path: Path) -> None:
    """Against declarations of Android's and MediaPipe's classes, where there is a compiler."""
    if not (shutil.which("java") and shutil.which("npm")):
        pytest.skip("no java or no npm: Kotlin's compiler cannot be had here")
    (code,) = snippets(bundle, "kotlin")

    done = compiled_kotlin(code, tmp_path)
    assert done.returncode == 0, done.stderr
    wrong = compiled_kotlin(code.replace("setMaxResults(3)", 'setMaxResults("3")'), tmp_path)
    assert wrong.returncode != 0
    assert "setMaxResults" in wrong.stderr or "mismatch" in wrong.stderr


def test_the_python_lines_name_the_class_to_expect(bundle: Path, tmp_path: Path) -> None:
    (code,) = snippets(bundle, "python")
    pixels = read_vectors(bundle / "android/vectors", "int8").inputs
    expected = read_vectors(bundle / "onnx-mobile/vectors", "int8").outputs
    labels = (bundle / "onnx-mobile/labels.txt").read_text().splitlines()
    np.save(tmp_path / "pixels.npy", pixels[:4])
    script = tmp_path / "script.py"
    lines = "\n".join(f"    {line}" for line in code.splitlines())
    script.write_text(f"import sys, numpy\nfor pixels in numpy.load(sys.argv[1]):\n{lines}\n")
    done = subprocess.run(
        [sys.executable, "-I", str(script), str(tmp_path / "pixels.npy")],
        cwd=bundle / "onnx-mobile", capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.split("\n")[:4] == [labels[i] for i in expected[:4].argmax(axis=1)]


def cpp(folder: Path, code: str, scratch: Path) -> subprocess.CompletedProcess[str]:
    """Compile and link a program with the sources beside it."""
    methods = [*RESOLVER_METHODS.values(), "AddEthosU"]
    (scratch / "methods.inc").write_text("".join(f"EDGEQUANT_STUB({m})\n" for m in methods))
    (scratch / "main.cc").write_text(code)
    command = [
        shutil.which("c++") or "g++", "-std=c++17", "-Wall", "-Wextra", "-Werror",
        f"-I{folder}", f"-I{scratch}", f"-I{CPP_STUBS}", "-o", str(scratch / "program"),
        str(scratch / "main.cc"), *(str(path) for path in sorted(folder.glob("*.cc"))),
    ]  # fmt: skip
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_microcontrollers_lines_compile_and_link(bundle: Path, tmp_path: Path) -> None:
    _, code = snippets(bundle, "cpp")
    includes, rest = split(code, "#include")
    yours = (
        "static bool ReadCamera(std::uint8_t*) { return false; }\n"
        "static void Show(const char*) {}\n"
    )
    done = cpp(bundle / "microcontroller", f"{includes}{yours}{rest}", tmp_path)
    assert done.returncode == 0, done.stderr


def test_the_ethos_us_lines_compile_and_link(bundle: Path, tmp_path: Path) -> None:
    code, _ = snippets(bundle, "cpp")
    includes, rest = split(code, "#include")
    headers = (
        '#include "tensorflow/lite/micro/micro_interpreter.h"\n'
        '#include "tensorflow/lite/micro/micro_mutable_op_resolver.h"\n'
        '#include "tensorflow/lite/schema/schema_generated.h"\n'
    )
    data = (
        "alignas(16) static const unsigned char model_data[16] = {};\n"
        "alignas(16) static std::uint8_t arena[1024];\n"
        "static std::uint8_t rgb[1 << 16];\n"
    )
    program = f"{includes}{headers}{data}int main() {{\n{rest}  return best;\n}}\n"
    done = cpp(bundle / "ethos-u", program, tmp_path)
    assert done.returncode == 0, done.stderr
