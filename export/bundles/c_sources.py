"""C++ sources for TFLite Micro: the model as an array, the contract, the operators, the vectors."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from calibration_data.preprocessing import Preprocessing
from export.bundles.c_inputs import CInput
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
RESOLVER_METHODS = {
    # Source: tensorflow/lite/micro/micro_mutable_op_resolver.h of tflite-micro.
    "ABS": "AddAbs", "ADD": "AddAdd", "ADD_N": "AddAddN", "ARG_MAX": "AddArgMax",
    "ARG_MIN": "AddArgMin", "AVERAGE_POOL_2D": "AddAveragePool2D",
    "BATCH_MATMUL": "AddBatchMatMul", "BATCH_TO_SPACE_ND": "AddBatchToSpaceNd",
    "BROADCAST_ARGS": "AddBroadcastArgs", "BROADCAST_TO": "AddBroadcastTo", "CAST": "AddCast",
    "CEIL": "AddCeil", "CONCATENATION": "AddConcatenation", "CONV_2D": "AddConv2D",
    "COS": "AddCos", "CUMSUM": "AddCumSum", "DEPTH_TO_SPACE": "AddDepthToSpace",
    "DEPTHWISE_CONV_2D": "AddDepthwiseConv2D", "DEQUANTIZE": "AddDequantize", "DIV": "AddDiv",
    "ELU": "AddElu", "EQUAL": "AddEqual", "EXP": "AddExp", "EXPAND_DIMS": "AddExpandDims",
    "FILL": "AddFill", "FLOOR": "AddFloor", "FLOOR_DIV": "AddFloorDiv",
    "FLOOR_MOD": "AddFloorMod", "FULLY_CONNECTED": "AddFullyConnected", "GATHER": "AddGather",
    "GATHER_ND": "AddGatherNd", "GREATER": "AddGreater", "GREATER_EQUAL": "AddGreaterEqual",
    "HARD_SWISH": "AddHardSwish", "L2_NORMALIZATION": "AddL2Normalization",
    "L2_POOL_2D": "AddL2Pool2D", "LEAKY_RELU": "AddLeakyRelu", "LESS": "AddLess",
    "LESS_EQUAL": "AddLessEqual", "LOG": "AddLog", "LOG_SOFTMAX": "AddLogSoftmax",
    "LOGICAL_AND": "AddLogicalAnd", "LOGICAL_NOT": "AddLogicalNot", "LOGICAL_OR": "AddLogicalOr",
    "LOGISTIC": "AddLogistic", "MAX_POOL_2D": "AddMaxPool2D", "MAXIMUM": "AddMaximum",
    "MEAN": "AddMean", "MINIMUM": "AddMinimum", "MIRROR_PAD": "AddMirrorPad", "MUL": "AddMul",
    "NEG": "AddNeg", "NOT_EQUAL": "AddNotEqual", "PACK": "AddPack", "PAD": "AddPad",
    "PADV2": "AddPadV2", "PRELU": "AddPrelu", "QUANTIZE": "AddQuantize",
    "REDUCE_MAX": "AddReduceMax", "REDUCE_MIN": "AddReduceMin", "RELU": "AddRelu",
    "RELU6": "AddRelu6", "RESHAPE": "AddReshape", "RESIZE_BILINEAR": "AddResizeBilinear",
    "RESIZE_NEAREST_NEIGHBOR": "AddResizeNearestNeighbor", "REVERSE_V2": "AddReverseV2",
    "ROUND": "AddRound", "RSQRT": "AddRsqrt", "SELECT_V2": "AddSelectV2", "SHAPE": "AddShape",
    "SIN": "AddSin", "SLICE": "AddSlice", "SOFTMAX": "AddSoftmax",
    "SPACE_TO_BATCH_ND": "AddSpaceToBatchNd", "SPACE_TO_DEPTH": "AddSpaceToDepth",
    "SPLIT": "AddSplit", "SPLIT_V": "AddSplitV", "SQRT": "AddSqrt", "SQUARE": "AddSquare",
    "SQUARED_DIFFERENCE": "AddSquaredDifference", "SQUEEZE": "AddSqueeze",
    "STRIDED_SLICE": "AddStridedSlice", "SUB": "AddSub", "SUM": "AddSum", "TANH": "AddTanh",
    "TRANSPOSE": "AddTranspose", "TRANSPOSE_CONV": "AddTransposeConv", "UNPACK": "AddUnpack",
    "ZEROS_LIKE": "AddZerosLike",
}  # fmt: skip
"""Member of MicroMutableOpResolver that registers each TFLite builtin."""


@dataclass(frozen=True)
class Ends:
    """Scales and zero points of the int8 input and output.

    Attributes:
        input_scale: scale of the input.
        input_zero_point: zero point of the input.
        output_scale: scale of the output.
        output_zero_point: zero point of the output.
        classes: number of outputs.
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
    return _header(
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
    return _source(
        "model_data.h",
        [
            "alignas(16) const unsigned char kModelData[] = {",
            *_numbers(f"0x{byte:02x}" for byte in content),
            "};",
            f"const std::size_t kModelDataSize = {len(content)};",
        ],
        name,
    )


def contract_header(name: str, contract: Preprocessing, ends: Ends) -> str:
    """Content of ``model_contract.h``: sizes, scales and the preprocessing of an example."""
    entry = CInput(contract)
    lines = [
        *entry.sizes(),
        f"inline constexpr int kClasses = {ends.classes};",
        "// real = scale * (integer - zero point)",
        f"inline constexpr float kInputScale = {ends.input_scale!r}f;",
        f"inline constexpr int kInputZeroPoint = {ends.input_zero_point};",
        f"inline constexpr float kOutputScale = {ends.output_scale!r}f;",
        f"inline constexpr int kOutputZeroPoint = {ends.output_zero_point};",
        *entry.numbers(),
        "extern const char* const kLabels[kClasses];",
        *entry.table(),
        "",
        *entry.fill(),
        "",
        "// Index of the largest score; the first of equals.",
        "inline int Best(const std::int8_t* scores) {",
        "  int best = 0;",
        "  for (int i = 1; i < kClasses; ++i) {",
        "    if (scores[i] > scores[best]) best = i;",
        "  }",
        "  return best;",
        "}",
    ]
    return _header("model_contract.h", entry.includes, lines, name)


def contract_source(name: str, contract: Preprocessing, table: np.ndarray | None) -> str:
    """Content of ``model_contract.cc``.

    Args:
        name: name of the model.
        contract: contract with the labels.
        table: int8 ``[channels, 256]``, input for each pixel value by channel of the tensor; None
            for plain arrays, whose values are computed.
    """
    lines = ["const char* const kLabels[kClasses] = {"]
    lines += [f"    {_c_string(label)}," for label in contract.labels]
    if table is not None:
        lines += ["};", f"const std::int8_t kPixelToInput[{len(table)}][256] = {{"]
        for channel in table:
            lines += ["    {", *_numbers((str(int(v)) for v in channel), "        "), "    },"]
    return _source("model_contract.h", [*lines, "};"], name)


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
    return _header("model_ops.h", includes, lines, name, quoted=True)


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
    return _header("model_arena.h", ["cstddef"], lines, name)


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
    return _header("model_vectors.h", ["model_contract.h"], lines, name, quoted=True)


def vectors_source(
    name: str, entry: CInput, pixels: np.ndarray, scores: Iterable[Iterable[int]]
) -> str:
    """Content of ``model_vectors.cc``.

    Args:
        name: name of the model.
        entry: input of the model.
        pixels: ``[n, *shape]`` as ``Preprocessing.pixels`` returns them.
        scores: int8 ``[n, classes]``.
    """
    declared, _ = entry.vectors_declared()
    lines = [f"{declared} = {{"]
    for image in pixels:
        lines += ["    {", *_numbers(entry.literals(image), "        "), "    },"]
    lines += ["};", "const std::int8_t kVectorScores[kVectors][kClasses] = {"]
    lines += [f"    {{{', '.join(str(int(v)) for v in row)}}}," for row in scores]
    return _source("model_vectors.h", [*lines, "};"], name)


def runner_source(name: str, entry: CInput) -> str:
    """Content of ``model_runner.cc``: set-up, one inference and the self-test."""
    code = _RUNNER.replace("std::uint8_t* rgb", f"{entry.element}* {entry.buffer}")
    code = code.replace("(rgb,", f"({entry.buffer},").replace("kVectorPixels", entry.vectors)
    return _source("model_runner.h", code.splitlines(), name, _RUNNER_INCLUDES)


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
    return _header("model_runner.h", ["cstdint"], lines, name)


_RUNNER_INCLUDES = (
    "model_arena.h",
    "model_contract.h",
    "model_data.h",
    "model_ops.h",
    "model_vectors.h",
    "tensorflow/lite/micro/micro_interpreter.h",
    "tensorflow/lite/schema/schema_generated.h",
)
_RUNNER = """\
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
}

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


def _c_string(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("?", "\\?")
    return f'"{escaped}"'


def _numbers(values: Iterable[str], indent: str = "    ") -> list[str]:
    items = list(values)
    rows = (items[i : i + _A_LINE] for i in range(0, len(items), _A_LINE))
    return [f"{indent}{', '.join(row)}," for row in rows]


def _header(
    file: str, includes: list[str], lines: list[str], name: str, *, quoted: bool = False
) -> str:
    guard = f"EDGEQUANT_{identifier(name)}_{file}".upper().replace(".", "_") + "_"
    marks = ('"', '"') if quoted else ("<", ">")
    head = [f"#ifndef {guard}", f"#define {guard}", ""]
    head += [f"#include {marks[0]}{include}{marks[1]}" for include in includes]
    body = [*head, "", *_inside(name, lines), "", f"#endif  // {guard}"]
    return "\n".join(body) + "\n"


def _source(header: str, lines: list[str], name: str, includes: Iterable[str] = ()) -> str:
    head = [f'#include "{header}"', "", *(f'#include "{include}"' for include in includes)]
    return "\n".join([*head, "", *_inside(name, lines)]) + "\n"


def _inside(name: str, lines: list[str]) -> list[str]:
    space = identifier(name)
    return [f"namespace {space} {{", "", *lines, "", f"}}  // namespace {space}"]
