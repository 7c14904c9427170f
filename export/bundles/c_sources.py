"""C++ sources for TFLite Micro: the model as an array, the contract, the operators, the vectors."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from calibration_data.preprocessing import Preprocessing
from export.bundles.c_inputs import CInput
from export.bundles.resolver_methods import RESOLVER_METHODS
from foundation.errors import InvalidInputError, UnsupportedError

if TYPE_CHECKING:
    import numpy as np

_A_LINE = 16
_KEYWORDS = frozenset(
    (
        "alignas", "alignof", "and", "asm", "auto", "bool", "break", "case", "catch", "char",
        "class", "compl", "const", "constexpr", "continue", "decltype", "default", "delete",
        "do", "double", "else", "enum", "explicit", "export", "extern", "false", "float", "for",
        "friend", "goto", "if", "inline", "int", "long", "main", "mutable", "namespace", "new",
        "noexcept", "not", "nullptr", "operator", "or", "private", "protected", "public",
        "register", "return", "short", "signed", "sizeof", "static", "std", "struct", "switch",
        "template", "this", "throw", "tflite", "true", "try", "typedef", "typeid", "typename",
        "union", "unsigned", "using", "virtual", "void", "volatile", "while", "xor",
    )
)  # fmt: skip
"""Keywords of C++17, and other names that a generated namespace may not have."""


@dataclass(frozen=True)
class Ends:
    """Scales and zero points of the int8 input and of the class scores.

    Attributes:
        input_scale: scale of the input.
        input_zero_point: zero point of the input.
        output_scale: scale of the scores.
        output_zero_point: zero point of the scores.
        classes: number of classes.
    """

    input_scale: float
    input_zero_point: int
    output_scale: float
    output_zero_point: int
    classes: int


def identifier(name: str) -> str:
    """C++ identifier made from a name; not a keyword."""
    cleaned = re.sub(r"\W+", "_", name, flags=re.ASCII).strip("_").lower()
    usable = cleaned and not cleaned[0].isdigit() and cleaned not in _KEYWORDS
    return cleaned if usable else f"model_{cleaned}"


def model_header(name: str) -> str:
    """Content of ``model_data.h``."""
    return header(
        "model_data.h",
        ["cstddef", "cstdint"],
        [
            "// The .tflite file, aligned as FlatBuffers and the kernels want it.",
            "extern const unsigned char kModelData[];",
            "extern const std::size_t kModelDataSize;",
        ],
        name,
    )


def model_source(name: str, content: bytes) -> str:
    """Content of ``model_data.cc``: the bytes of the file."""
    return source(
        "model_data.h",
        [
            "alignas(16) const unsigned char kModelData[] = {",
            *_numbers(f"0x{byte:02x}" for byte in content),
            "};",
            f"const std::size_t kModelDataSize = {len(content)};",
        ],
        name,
    )


def contract_header(
    name: str, contract: Preprocessing, ends: Ends, outputs: list[str] | None = None
) -> str:
    """Content of ``model_contract.h``: sizes, scales and the preprocessing of an example.

    Args:
        name: name of the model.
        contract: contract of its input.
        ends: scales of the ends; those of the scores count without ``outputs``.
        outputs: lines that describe other outputs than the scores of classes.
    """
    entry = CInput(contract)
    lines = [
        *entry.sizes(),
        *([f"inline constexpr int kClasses = {ends.classes};"] if outputs is None else []),
        "// real = scale * (integer - zero point)",
        f"inline constexpr float kInputScale = {ends.input_scale!r}f;",
        f"inline constexpr int kInputZeroPoint = {ends.input_zero_point};",
        *(_score_lines(ends) if outputs is None else outputs),
        *entry.numbers(),
        *(["extern const char* const kLabels[kClasses];"] if outputs is None else []),
        *entry.table(),
        "",
        *entry.fill(),
        *(_BEST if outputs is None else []),
    ]
    return header("model_contract.h", entry.includes, lines, name)


def _score_lines(ends: Ends) -> list[str]:
    return [
        f"inline constexpr float kOutputScale = {ends.output_scale!r}f;",
        f"inline constexpr int kOutputZeroPoint = {ends.output_zero_point};",
    ]


_BEST = (
    "",
    "// Index of the largest score; the first of equals.",
    "inline int Best(const std::int8_t* scores) {",
    "  int best = 0;",
    "  for (int i = 1; i < kClasses; ++i) {",
    "    if (scores[i] > scores[best]) best = i;",
    "  }",
    "  return best;",
    "}",
)


def contract_source(
    name: str, contract: Preprocessing, table: np.ndarray | None, *, labelled: bool = True
) -> str:
    """Content of ``model_contract.cc``.

    Args:
        name: name of the model.
        contract: contract with the labels.
        table: int8 ``[channels, 256]``, input for each pixel value by channel of the tensor; None
            for plain arrays, whose values are computed.
        labelled: whether the output is the scores of the labels.
    """
    lines = ["const char* const kLabels[kClasses] = {"] if labelled else []
    lines += [f"    {c_string(label)}," for label in contract.labels if labelled]
    lines += ["};"] if labelled else []
    if table is not None:
        lines += [f"const std::int8_t kPixelToInput[{len(table)}][256] = {{"]
        for channel in table:
            lines += ["    {", *_numbers((str(int(v)) for v in channel), "        "), "    },"]
        lines += ["};"]
    return source("model_contract.h", lines, name)


def operators_header(name: str, operators: tuple[str, ...]) -> str:
    """Content of ``model_ops.h``: a resolver with exactly the operators of the file.

    Raises:
        UnsupportedError: an operator that TFLite Micro does not register.
    """
    if unknown := [op for op in operators if op not in RESOLVER_METHODS]:
        raise UnsupportedError(
            "TFLite Micro has a kernel for every operator of the file",
            received=", ".join(unknown),
            remedy="replace these layers",
        )
    lines = [
        f"using ModelOpResolver = tflite::MicroMutableOpResolver<{len(operators)}>;",
        "",
        "// Registers the operators that the model uses, and no other.",
        "inline TfLiteStatus RegisterModelOps(ModelOpResolver& resolver) {",
    ]
    lines += [
        f"  if (resolver.{RESOLVER_METHODS[op]}() != kTfLiteOk) return kTfLiteError;"
        for op in operators
    ]
    lines += ["  return kTfLiteOk;", "}"]
    includes = ["tensorflow/lite/micro/micro_mutable_op_resolver.h"]
    return header("model_ops.h", includes, lines, name, quoted=True)


def arena_header(name: str, arena: ArenaFigures | None) -> str:
    """Content of ``model_arena.h``: the measured size, or instructions without one."""
    if arena is None:
        lines = [
            "// Not measured when this file was written: the tflite-micro package was missing.",
            "// Start with all the RAM there is, and call MicroInterpreter::arena_used_bytes().",
            "#ifndef MODEL_TENSOR_ARENA_SIZE",
            '#error "define MODEL_TENSOR_ARENA_SIZE: the arena was not measured"',
            "#endif",
            "inline constexpr std::size_t kTensorArenaSize = MODEL_TENSOR_ARENA_SIZE;",
        ]
    else:
        lines = [
            f"// Measured by TFLite Micro {arena.version} on a host with {arena.pointer_bits}-bit",
            "// pointers; structures in the tail are smaller where pointers have 32 bits.",
            f"inline constexpr std::size_t kTensorArenaSize = {arena.size};",
            f"inline constexpr std::size_t kArenaHead = {arena.head};  // activations, scratch",
            f"inline constexpr std::size_t kArenaTail = {arena.tail};  // tensors, kernels' data",
        ]
    return header("model_arena.h", ["cstddef"], lines, name)


@dataclass(frozen=True)
class ArenaFigures:
    """Measured sizes of the arena, in bytes.

    Attributes:
        size: size with which the model ran.
        head: non-persistent memory: activations and scratch buffers.
        tail: persistent memory: tensor structs and kernels' data.
        version: version of the tflite-micro package.
        pointer_bits: bits of a pointer on the host that measured.

    Raises:
        InvalidInputError: values that are not safe in a source.
    """

    size: int
    head: int
    tail: int
    version: str
    pointer_bits: int

    def __post_init__(self) -> None:
        counts = (self.size, self.head, self.tail, self.pointer_bits)
        whole = all(type(n) is int and 0 <= n < 2**31 for n in counts)
        if not whole or not re.fullmatch(r"[\w.+-]{1,64}", self.version, re.ASCII):
            raise InvalidInputError(
                "the size of an arena is in whole bytes, with the version that measured it",
                received=ascii(self),
                remedy="make the bundle again",
            )


def vectors_header(name: str, entry: CInput, count: int) -> str:
    """Content of ``model_vectors.h``."""
    declared, what = entry.vectors_declared()
    lines = [
        f"inline constexpr int kVectors = {count};",
        f"extern {declared};  // {what}",
        "extern const std::int8_t kVectorScores[kVectors][kClasses];     // to expect, bit for bit",
    ]
    return header("model_vectors.h", ["model_contract.h"], lines, name, quoted=True)


def vectors_source(
    name: str,
    entry: CInput,
    pixels: np.ndarray,
    scores: Iterable[Iterable[int]],
    array: str = "kVectorScores[kVectors][kClasses]",
) -> str:
    """Content of ``model_vectors.cc``.

    Args:
        name: name of the model.
        entry: input of the model.
        pixels: ``[n, *shape]`` as ``Preprocessing.pixels`` returns them.
        scores: int8 ``[n, numbers]``.
        array: name of their array.
    """
    declared, _ = entry.vectors_declared()
    lines = [f"{declared} = {{"]
    for image in pixels:
        lines += ["    {", *_numbers(entry.literals(image), "        "), "    },"]
    lines += ["};", f"const std::int8_t {array} = {{"]
    lines += [f"    {{{', '.join(str(int(v)) for v in row)}}}," for row in scores]
    return source("model_vectors.h", [*lines, "};"], name)


def runner_source(name: str, entry: CInput) -> str:
    """Content of ``model_runner.cc``: set-up, one inference and the self-test."""
    code = reading(f"{SET_UP}\n\n{_RUNNER}", entry)
    return source("model_runner.h", code.splitlines(), name, RUNNER_INCLUDES)


def reading(code: str, entry: CInput) -> str:
    """C++ code that is written for RGB pixels, for another input."""
    code = code.replace("std::uint8_t* rgb", f"{entry.element}* {entry.buffer}")
    return code.replace("(rgb,", f"({entry.buffer},").replace("kVectorPixels", entry.vectors)


def runner_header(name: str, entry: CInput) -> str:
    """Content of ``model_runner.h``."""
    lines = [
        "// Allocates the tensors in an arena of kTensorArenaSize bytes; once, before the rest.",
        "bool SetUp();",
        f"// Index of the best class of {entry.what}; -1 when inference fails.",
        f"int Classify(const {entry.element}* {entry.buffer});",
        "// Whether every test vector gives its scores bit for bit.",
        "bool SelfTest();",
    ]
    return header("model_runner.h", ["cstdint"], lines, name)


RUNNER_INCLUDES = (
    "model_arena.h",
    "model_contract.h",
    "model_data.h",
    "model_ops.h",
    "model_vectors.h",
    "tensorflow/lite/micro/micro_interpreter.h",
    "tensorflow/lite/schema/schema_generated.h",
)
SET_UP = """\
namespace {
alignas(16) std::uint8_t arena[kTensorArenaSize];
tflite::MicroInterpreter* interpreter = nullptr;
}  // namespace

bool SetUp() {
  static ModelOpResolver resolver;
  if (RegisterModelOps(resolver) != kTfLiteOk) return false;
  static tflite::MicroInterpreter instance(tflite::GetModel(kModelData), resolver, arena,
                                           kTensorArenaSize);
  if (instance.AllocateTensors() != kTfLiteOk) return false;
  interpreter = &instance;
  return true;
}"""
_RUNNER = """\
int Classify(const std::uint8_t* rgb) {
  FillInput(rgb, interpreter->input(0)->data.int8);
  if (interpreter->Invoke() != kTfLiteOk) return -1;
  return Best(interpreter->output(0)->data.int8);
}

bool SelfTest() {
  for (int v = 0; v < kVectors; ++v) {
    if (Classify(kVectorPixels[v]) < 0) return false;
    const std::int8_t* scores = interpreter->output(0)->data.int8;
    for (int i = 0; i < kClasses; ++i) {
      if (scores[i] != kVectorScores[v][i]) return false;
    }
  }
  return true;
}"""


def c_string(text: str) -> str:
    """Literal of C++ for an ASCII text."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("?", "\\?")
    return f'"{escaped}"'


def _numbers(values: Iterable[str], indent: str = "    ") -> list[str]:
    items = list(values)
    rows = (items[i : i + _A_LINE] for i in range(0, len(items), _A_LINE))
    return [f"{indent}{', '.join(row)}," for row in rows]


def header(
    file: str, includes: list[str], lines: list[str], name: str, *, quoted: bool = False
) -> str:
    """Content of a header: guard, includes, and the lines inside the model's namespace."""
    guard = f"EDGEQUANT_{identifier(name)}_{file}".upper().replace(".", "_") + "_"
    marks = ('"', '"') if quoted else ("<", ">")
    head = [f"#ifndef {guard}", f"#define {guard}", ""]
    head += [f"#include {marks[0]}{include}{marks[1]}" for include in includes]
    body = [*head, "", *_inside(name, lines), "", f"#endif  // {guard}"]
    return "\n".join(body) + "\n"


def source(own: str, lines: list[str], name: str, includes: Iterable[str] = ()) -> str:
    """Content of a source: its own header, includes, and the lines inside the namespace."""
    head = [f'#include "{own}"', "", *(f'#include "{include}"' for include in includes)]
    return "\n".join([*head, "", *_inside(name, lines)]) + "\n"


def _inside(name: str, lines: list[str]) -> list[str]:
    space = identifier(name)
    return [f"namespace {space} {{", "", *lines, "", f"}}  // namespace {space}"]
