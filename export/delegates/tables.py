"""TFLite operators that each delegate or accelerator takes, with the source of every row."""

from __future__ import annotations

from export.delegates import rules as r
from export.delegates.report import Device, Row, Rule

_EIGHT_BIT = frozenset({"int8", "uint8"})
_FLOAT32 = frozenset({"float32"})
_FLOAT = frozenset({"float32", "float16"})
_BOTH = _EIGHT_BIT | _FLOAT32


def _rows(
    source: str,
    operators: str,
    *rules: Rule,
    types: frozenset[str] | None = None,
    newest: int | None = None,
) -> tuple[Row, ...]:
    """One row per operator of a list, all from the same source."""
    return tuple(Row(name, source, types, newest, rules) for name in operators.split())


# Copies of the table on Coral's page: the page itself is not archived with a version.
_CORAL = "Edge TPU compiler's table (coral.ai, models-intro) as in "
_AXIS = (
    f"{_CORAL}https://developer.axis.com/computer-vision/on-device/system-on-chip/artpec-7/"
    "supported-ops/, read 2026-11-24"
)
_DGIST = (
    f"{_CORAL}https://github.com/dgist-datalab/Datalab_Intern, "
    "Edge_TPU/convert_model_for_Edge_TPU.md (compiler 2)"
)

EDGE_TPU = Device(
    name="edge-tpu",
    title="Edge TPU compiler 16",
    types=_EIGHT_BIT,
    rows=(
        *_rows(
            _AXIS,
            """ADD CONV_2D DEPTHWISE_CONV_2D EXPAND_DIMS L2_NORMALIZATION LOGISTIC LSTM MAXIMUM
            MINIMUM MUL PACK PAD QUANTIZE REDUCE_MAX REDUCE_MIN RELU RELU6 RELU_N1_TO_1 RESHAPE
            RESIZE_BILINEAR UNIDIRECTIONAL_SEQUENCE_LSTM""",
        ),
        *_rows(_AXIS, "AVERAGE_POOL_2D CONCATENATION MAX_POOL_2D", r.no_fused_activation),
        *_rows(_AXIS, "FULLY_CONNECTED", r.output_is_a_vector),
        *_rows(_AXIS, "MEAN", r.channels_reduce_in_fours),
        *_rows(_AXIS, "PRELU", r.slope_is_per_channel),
        *_rows(
            _DGIST,
            "RESIZE_NEAREST_NEIGHBOR SLICE SPACE_TO_DEPTH SPLIT SQUEEZE STRIDED_SLICE SUB TANH",
        ),
        *_rows(_DGIST, "SOFTMAX", r.softmax_is_a_vector),
        *_rows("https://github.com/google-coral/edgetpu/issues/193 (compiler 16)", "TRANSPOSE"),
        *_rows(
            f"{_CORAL}https://github.com/google-coral/edgetpu/issues/684 (2022-11-26)",
            "TRANSPOSE_CONV",
        ),
    ),
    rules=(r.three_dimensions, r.weights_in_eight_bits),
    rule_sources=(
        _AXIS.replace("supported-ops", "optimization-tips"),
        _AXIS.replace("supported-ops", "optimization-tips"),
    ),
    one_partition=True,
)

_LITERT = "https://github.com/google-ai-edge/LiteRT, tflite/"
_PARSER = (
    f"{_LITERT}delegates/gpu/common/model_builder.cc @ 34ec5badbbbf, NewOperationParser and "
    f"GetOpsToReplace; {_LITERT}tools/versioning/gpu_compatibility.cc @ 007226f498a6"
)
_GPU_TYPES = _EIGHT_BIT | _FLOAT
_GPU_LOGIC = _GPU_TYPES | {"bool"}

GPU = Device(
    name="gpu",
    title="LiteRT GPU delegate (OpenCL, OpenGL, Metal), quantized operators allowed",
    types=_GPU_TYPES,
    rows=(
        *_rows(
            _PARSER,
            """ABS ADD AVERAGE_POOL_2D BATCH_MATMUL CONCATENATION CONV_2D COS DENSIFY
            DEPTHWISE_CONV_2D DEPTH_TO_SPACE DIV ELU EXP FLOOR FLOOR_DIV FLOOR_MOD FULLY_CONNECTED
            GELU HARD_SWISH LEAKY_RELU LOG LOGISTIC LSTM MAXIMUM MAX_POOL_2D MEAN MINIMUM MUL NEG
            PACK POW PRELU QUANTIZE REDUCE_MAX REDUCE_MIN REDUCE_PROD RELU RELU6 RELU_0_TO_1
            RELU_N1_TO_1 RESHAPE RESIZE_BILINEAR RESIZE_NEAREST_NEIGHBOR RSQRT SIGN SIN SOFTMAX
            SPACE_TO_DEPTH SPLIT SPLIT_V SQRT SQUARE SQUARED_DIFFERENCE SUB SUM TANH TILE
            TRANSPOSE TRANSPOSE_CONV UNPACK""",
        ),
        *_rows(_PARSER, "ADD_N", r.two_inputs),
        *_rows(_PARSER, "DEQUANTIZE", r.input_is_not_int16),
        *_rows(_PARSER, "MIRROR_PAD PAD PADV2 SLICE STRIDED_SLICE", r.rank_three_or_four),
        *_rows(_PARSER, "CUMSUM", types=_FLOAT),
        *_rows(_PARSER, "ONE_HOT", types=_FLOAT | {"int32"}),
        *_rows(_PARSER, "SELECT SELECT_V2", types=_GPU_LOGIC),
        *_rows(_PARSER, "GATHER", types=_GPU_TYPES | {"int32"}),
        *_rows(_PARSER, "CAST", types=_GPU_LOGIC | {"int32"}),
        *_rows(
            _PARSER,
            "EQUAL GREATER GREATER_EQUAL LESS LESS_EQUAL LOGICAL_AND NOT_EQUAL",
            types=_GPU_LOGIC,
        ),
    ),
    rules=(r.rank_at_most_four,),
    rule_sources=(f"{_PARSER}, IsAllAllowedTensors",),
)

_VALIDATE = f"{_LITERT}delegates/nnapi/nnapi_delegate.cc @ 5c8a6d4b8063, Validate"
_NDK = (
    "https://developer.android.com/ndk/reference/group/neural-networks, "
    "ANEURALNETWORKS_FULLY_CONNECTED (API level 30)"
)
_BOTH_INT32 = _BOTH | {"int32"}

NNAPI = Device(
    name="nnapi",
    title="NNAPI delegate, Android 11 (NNAPI 1.3) or newer",
    types=_BOTH,
    rows=(
        *_rows(_VALIDATE, "DEPTH_TO_SPACE HARD_SWISH"),
        *_rows(
            _VALIDATE,
            "LEAKY_RELU LOCAL_RESPONSE_NORMALIZATION PRELU RESHAPE SQUEEZE",
            newest=1,
        ),
        *_rows(
            _VALIDATE,
            """AVERAGE_POOL_2D BATCH_TO_SPACE_ND L2_NORMALIZATION LOGISTIC MAX_POOL_2D MEAN PAD
            PADV2 QUANTIZE REDUCE_MAX REDUCE_MIN RELU RELU6 RELU_N1_TO_1 SOFTMAX SPACE_TO_BATCH_ND
            SPACE_TO_DEPTH STRIDED_SLICE TANH TRANSPOSE UNPACK""",
            newest=2,
        ),
        *_rows(_VALIDATE, "CONCATENATION", r.no_fused_activation, newest=2),
        *_rows(_VALIDATE, "DEPTHWISE_CONV_2D RESIZE_BILINEAR RESIZE_NEAREST_NEIGHBOR", newest=3),
        *_rows(_VALIDATE, "TRANSPOSE_CONV", newest=4),
        *_rows(_VALIDATE, "CONV_2D", r.has_a_bias, newest=5),
        *_rows(f"{_VALIDATE}; {_NDK}", "FULLY_CONNECTED", r.weights_have_one_scale, newest=5),
        # Float16 weights are stored, with a DEQUANTIZE behind them that the delegate takes.
        *_rows(
            f"{_VALIDATE}, and {_LITERT}delegates/utils.h, FP16GraphPartitionHelper",
            "DEQUANTIZE",
            r.input_is_not_int16,
            newest=3,
        ),
        *_rows(_VALIDATE, "PACK", types=_FLOAT32 | {"int8"}, newest=2),
        *_rows(_VALIDATE, "CAST EXPAND_DIMS TILE", types=_BOTH_INT32, newest=1),
        *_rows(
            _VALIDATE,
            "ADD ARG_MAX ARG_MIN GATHER MUL SELECT SLICE SPLIT_V SQUARED_DIFFERENCE TOPK_V2",
            types=_BOTH_INT32,
            newest=2,
        ),
        *_rows(_VALIDATE, "MAXIMUM MINIMUM SPLIT SUB", types=_BOTH_INT32, newest=3),
        *_rows(
            _VALIDATE,
            "EQUAL GREATER GREATER_EQUAL LESS LESS_EQUAL NOT_EQUAL",
            types=_BOTH_INT32 | {"bool"},
            newest=2,
        ),
        *_rows(
            _VALIDATE, "LOGICAL_AND LOGICAL_NOT LOGICAL_OR", types=frozenset({"bool"}), newest=1
        ),
        *_rows(_VALIDATE, "REDUCE_ANY", types=frozenset({"bool"}), newest=2),
        *_rows(
            _VALIDATE,
            """ABS COS DIV ELU EXP FLOOR L2_POOL_2D LOG LOG_SOFTMAX POW REDUCE_PROD RNN SIN SQRT
            SUM SVDF""",
            types=_FLOAT32,
            newest=1,
        ),
        *_rows(_VALIDATE, "EMBEDDING_LOOKUP FILL", types=_FLOAT32 | {"int32"}, newest=1),
        *_rows(_VALIDATE, "NEG", types=_FLOAT32 | {"int32"}, newest=2),
        *_rows(_VALIDATE, "RSQRT", types=_FLOAT32, newest=2),
        *_rows(_VALIDATE, "LSTM", newest=3),
        *_rows(_VALIDATE, "DENSIFY", r.input_is_constant),
    ),
    rules=(r.rank_at_most_four,),
    rule_sources=(f"{_NDK.partition(',')[0]}, supported tensor rank of each operation",),
)

_NODE = (
    "https://github.com/tensorflow/tensorflow, tensorflow/lite/delegates/coreml/"
    "coreml_delegate.mm @ 1b4a71e30c25, IsNodeSupportedByDelegate"
)
_BUILDERS = f"{_NODE}; {_LITERT}delegates/coreml/builders/"

CORE_ML = Device(
    name="coreml",
    title="LiteRT Core ML delegate, Core ML 3 (iOS 13 or newer)",
    types=_FLOAT32,
    rows=(
        *_rows(
            _NODE, "HARD_SWISH LOGISTIC RELU RELU6 RELU_N1_TO_1 SOFTMAX TANH", newest=1
        ),
        *_rows(_NODE, "AVERAGE_POOL_2D MAX_POOL_2D", r.no_fused_activation, newest=1),
        *_rows(f"{_BUILDERS}util.cc @ 1464fed83324", "ADD MUL", newest=1),
        *_rows(
            f"{_BUILDERS}concatenation_op_builder.cc @ 7d88950ea445",
            "CONCATENATION", r.no_fused_activation, r.joins_channels, newest=1,
        ),
        *_rows(
            f"{_BUILDERS}convolution_op_builder.cc @ 40f384c8fcb2",
            "CONV_2D TRANSPOSE_CONV", r.weights_are_constant, newest=1,
        ),
        *_rows(
            f"{_BUILDERS}convolution_op_builder.cc @ 40f384c8fcb2",
            "DEPTHWISE_CONV_2D", r.weights_are_constant, newest=2,
        ),
        *_rows(
            f"{_BUILDERS}fully_connected_op_builder.cc @ 7d88950ea445",
            "FULLY_CONNECTED", r.weights_are_constant, r.input_is_a_vector, newest=6,
        ),
        *_rows(
            f"{_BUILDERS}pooling_layer_builder.cc, IsMeanOpSupported",
            "MEAN", r.rank_four, r.rank_is_kept, r.batch_and_channels_stay, newest=1,
        ),
        *_rows(
            f"{_BUILDERS}pad_op_builder.cc @ 63b449e551ad",
            "MIRROR_PAD PAD PADV2", r.rank_four, r.batch_and_channels_stay, newest=1,
        ),
        *_rows(
            f"{_BUILDERS}resize_bilinear_op_builder.cc @ 7d88950ea445", "RESIZE_BILINEAR", newest=1
        ),
        # RESHAPE is not here: reshape_op_builder.cc refuses it from Core ML 3 on.
        *_rows(
            f"{_NODE.partition(',')[0]}, tensorflow/lite/delegates/coreml/coreml_delegate.mm @ "
            "1b4a71e30c25, DelegatePrepare: FP16GraphPartitionHelper takes in stored weights",
"DEQUANTIZE", r.input_is_constant,
        ),
    ),
)  # fmt: skip

DEVICES = (EDGE_TPU, GPU, NNAPI, CORE_ML)
"""Devices of ``edgequant inspect --for``."""
