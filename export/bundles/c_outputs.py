"""C++ sources for networks with several outputs, or with an output that is no choice of a class."""

from __future__ import annotations

import math
from dataclasses import dataclass

from export.bundles.c_inputs import CInput
from export.bundles.c_sources import RUNNER_INCLUDES, SET_UP, c_string, header, reading, source

VECTORS_NAME = "kVectorOutputs[kVectors][kOutputSize]"
"""Array of the expected outputs, one after the other."""


@dataclass(frozen=True)
class OutputEnd:
    """One int8 output of a file.

    Attributes:
        name: name in the file.
        shape: shape without the batch.
        scale: scale of its integers.
        zero_point: zero point of its integers.
    """

    name: str
    shape: tuple[int, ...]
    scale: float
    zero_point: int

    @property
    def size(self) -> int:
        """How many integers it has."""
        return math.prod(self.shape)


def output_lines(outputs: tuple[OutputEnd, ...]) -> list[str]:
    """Lines of ``model_contract.h`` that describe the outputs, in the file's order."""
    rows = [
        f"    {{{c_string(end.name)}, {end.size}, {end.scale!r}f, {end.zero_point}}},"
        f"  // {list(end.shape)}"
        for end in outputs
    ]
    return [
        "// An output of the network: real = scale * (integer - zero_point).",
        "struct OutputInfo {",
        "  const char* name;",
        "  int size;",
        "  float scale;",
        "  int zero_point;",
        "};",
        f"inline constexpr int kOutputCount = {len(outputs)};",
        f"inline constexpr int kOutputSize = {sum(end.size for end in outputs)};",
        "// In the order of the file; the integers of a map are [height][width][channels].",
        "inline constexpr OutputInfo kOutputs[kOutputCount] = {",
        *rows,
        "};",
    ]


def vectors_header(name: str, entry: CInput, count: int) -> str:
    """Content of ``model_vectors.h``."""
    declared, what = entry.vectors_declared()
    lines = [
        f"inline constexpr int kVectors = {count};",
        f"extern {declared};  // {what}",
        f"extern const std::int8_t {VECTORS_NAME};  // to expect, bit for bit",
    ]
    return header("model_vectors.h", ["model_contract.h"], lines, name, quoted=True)


def runner_header(name: str, entry: CInput) -> str:
    """Content of ``model_runner.h``."""
    lines = [
        "// Allocates the tensors in an arena of kTensorArenaSize bytes; once, before the rest.",
        "bool SetUp();",
        f"// Runs {entry.what}; false when inference fails.",
        f"bool Run(const {entry.element}* {entry.buffer});",
        "// Integers of an output, kOutputs[number].size of them, after Run.",
        "const std::int8_t* Output(int number);",
        "// Whether every test vector gives its outputs bit for bit.",
        "bool SelfTest();",
    ]
    return header("model_runner.h", ["cstdint"], lines, name)


def runner_source(name: str, entry: CInput) -> str:
    """Content of ``model_runner.cc``: set-up, one inference and the self-test."""
    code = reading(f"{SET_UP}\n\n{_RUNNER}", entry)
    return source("model_runner.h", code.splitlines(), name, RUNNER_INCLUDES)


def guide(space: str, entry: CInput, origin: str, reading: list[str]) -> list[str]:
    """Lines of C++ that run the network and read its outputs.

    Args:
        space: namespace of the sources.
        entry: input of the network.
        origin: what examples are read from.
        reading: lines that read the outputs.
    """
    return [
        "int main() {",
        f"  if (!{space}::SetUp() || !{space}::SelfTest()) return 1;",
        f"  static {entry.element} {entry.buffer}[{space}::{entry.size}];",
        f"  while (Read{origin}({entry.buffer})) {{  // yours",
        f"    if (!{space}::Run({entry.buffer})) continue;",
        *reading,
        "  }",
        "}",
    ]


def each_output(space: str) -> list[str]:
    """Lines of C++ that read one output after the other."""
    return [
        f"    for (int number = 0; number < {space}::kOutputCount; ++number) {{",
        f"      Use({space}::kOutputs[number], {space}::Output(number));  // yours",
        "    }",
    ]


_RUNNER = """\
bool Run(const std::uint8_t* rgb) {
  FillInput(rgb, interpreter->input(0)->data.int8);
  return interpreter->Invoke() == kTfLiteOk;
}

const std::int8_t* Output(int number) { return interpreter->output(number)->data.int8; }

bool SelfTest() {
  for (int v = 0; v < kVectors; ++v) {
    if (!Run(kVectorPixels[v])) return false;
    const std::int8_t* expected = kVectorOutputs[v];
    for (int number = 0; number < kOutputCount; ++number) {
      const std::int8_t* found = Output(number);
      for (int i = 0; i < kOutputs[number].size; ++i) {
        if (found[i] != expected[i]) return false;
      }
      expected += kOutputs[number].size;
    }
  }
  return true;
}"""
