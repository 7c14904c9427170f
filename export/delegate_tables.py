"""Which TFLite operators each delegate or accelerator takes, with the source of each table."""

from __future__ import annotations

from export.delegates import (
    Device,
    depth_multiplier_is_one,
    dequantize_is_eight_bit,
    fully_connected_is_a_vector,
    fully_connected_is_per_tensor,
    rank_at_most_four,
    softmax_is_a_vector,
    three_dimensions,
    weights_are_constant,
)


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


_EIGHT_BIT = frozenset({"int8", "uint8"})
_FLOAT = frozenset({"float32", "float16"})

EDGE_TPU = Device(
    name="edge-tpu",
    title="Edge TPU compiler",
    source="https://coral.ai/docs/edgetpu/models-intro/#supported-operations",
    operators=_names(
        """ADD AVERAGE_POOL_2D CONCATENATION CONV_2D DEPTHWISE_CONV_2D EXPAND_DIMS FULLY_CONNECTED
        L2_NORMALIZATION LOGISTIC LSTM MAXIMUM MAX_POOL_2D MEAN MINIMUM MUL PACK PAD PRELU QUANTIZE
        REDUCE_MAX REDUCE_MIN RELU RELU6 RELU_N1_TO_1 RESHAPE RESIZE_BILINEAR
        RESIZE_NEAREST_NEIGHBOR RSQRT SLICE SOFTMAX SPACE_TO_DEPTH SPLIT SQUARED_DIFFERENCE SQUEEZE
        STRIDED_SLICE SUB SUM TANH TRANSPOSE TRANSPOSE_CONV"""
    ),
    types=_EIGHT_BIT,
    rules=(three_dimensions, fully_connected_is_a_vector, softmax_is_a_vector),
    one_partition=True,
)

GPU = Device(
    name="gpu",
    title="LiteRT GPU delegate (OpenCL, OpenGL, Metal)",
    source="tensorflow/lite/tools/versioning/gpu_compatibility.cc, CheckGpuDelegateCompatibility",
    operators=_names(
        """ABS ADD ADD_N ATAN2 AVERAGE_POOL_2D BATCH_MATMUL CAST CEIL CONCATENATION CONV_2D COS
        CUMSUM DENSIFY DEPTHWISE_CONV_2D DEPTH_TO_SPACE DEQUANTIZE DIV DYNAMIC_UPDATE_SLICE ELU
        EMBEDDING_LOOKUP EQUAL EXP FLOOR FLOOR_DIV FLOOR_MOD FULLY_CONNECTED GATHER GELU GREATER
        GREATER_EQUAL HARD_SWISH LEAKY_RELU LESS LESS_EQUAL LOG LOGICAL_AND LOGISTIC LSTM MAXIMUM
        MAX_POOL_2D MEAN MINIMUM MIRROR_PAD MUL NEG NOT_EQUAL ONE_HOT PACK PAD PADV2 POW PRELU
        QUANTIZE REDUCE_MAX REDUCE_MIN REDUCE_PROD RELU RELU6 RELU_N1_TO_1 RESHAPE RESIZE_BILINEAR
        RESIZE_NEAREST_NEIGHBOR RSQRT SELECT SELECT_V2 SIGN SIN SLICE SOFTMAX SPACE_TO_DEPTH SPLIT
        SPLIT_V SQRT SQUARE SQUARED_DIFFERENCE STRIDED_SLICE SUB SUM TANH TILE TRANSPOSE
        TRANSPOSE_CONV"""
    ),
    types=_EIGHT_BIT | _FLOAT,
    rules=(rank_at_most_four, depth_multiplier_is_one, dequantize_is_eight_bit),
    float_only=frozenset({"CUMSUM", "ONE_HOT", "SELECT", "SELECT_V2"}),
)

NNAPI = Device(
    name="nnapi",
    title="NNAPI delegate, Android 11 (NNAPI 1.3) or newer",
    source="tensorflow/lite/delegates/nnapi/nnapi_delegate.cc, Validate; weight scales of "
    "FULLY_CONNECTED: LiteRT issue 3596",
    operators=_names(
        """ABS ADD ARG_MAX ARG_MIN AVERAGE_POOL_2D BATCH_TO_SPACE_ND CAST CONCATENATION CONV_2D
        DENSIFY DEPTHWISE_CONV_2D DEPTH_TO_SPACE DEQUANTIZE DIV ELU EMBEDDING_LOOKUP EQUAL EXP
        EXPAND_DIMS FILL FLOOR FULLY_CONNECTED GATHER GREATER GREATER_EQUAL HARD_SWISH
        HASHTABLE_LOOKUP L2_NORMALIZATION L2_POOL_2D LEAKY_RELU LESS LESS_EQUAL
        LOCAL_RESPONSE_NORMALIZATION LOG LOGICAL_AND LOGICAL_NOT LOGICAL_OR LOGISTIC LOG_SOFTMAX
        LSTM MAXIMUM MAX_POOL_2D MEAN MINIMUM MUL NEG NOT_EQUAL PACK PAD PADV2 POW PRELU QUANTIZE
        REDUCE_ANY REDUCE_MAX REDUCE_MIN REDUCE_PROD RELU RELU6 RELU_N1_TO_1 RESHAPE
        RESIZE_BILINEAR RESIZE_NEAREST_NEIGHBOR RNN RSQRT SELECT SIN SLICE SOFTMAX
        SPACE_TO_BATCH_ND SPACE_TO_DEPTH SPLIT SPLIT_V SQRT SQUARED_DIFFERENCE SQUEEZE
        STRIDED_SLICE SUB SUM SVDF TANH TILE TOPK_V2 TRANSPOSE TRANSPOSE_CONV"""
    ),
    types=_EIGHT_BIT | _FLOAT,
    rules=(rank_at_most_four, fully_connected_is_per_tensor),
    float_only=frozenset(
        {"ABS", "DIV", "ELU", "EXP", "LOG", "LOG_SOFTMAX", "NEG", "POW", "REDUCE_PROD", "RSQRT"}
        | {"SIN", "SQRT", "SUM"}
    ),
)

CORE_ML = Device(
    name="coreml",
    title="LiteRT Core ML delegate",
    source="tensorflow/lite/delegates/coreml/coreml_delegate.mm, IsNodeSupportedByDelegate",
    operators=_names(
        """ADD AVERAGE_POOL_2D CONCATENATION CONV_2D DEPTHWISE_CONV_2D DEQUANTIZE FULLY_CONNECTED
        HARD_SWISH LOGISTIC MAX_POOL_2D MEAN MIRROR_PAD MUL PAD PADV2 RELU RELU6 RELU_N1_TO_1
        RESHAPE RESIZE_BILINEAR SOFTMAX TANH TRANSPOSE_CONV"""
    ),
    types=_FLOAT,
    rules=(weights_are_constant,),
)

DEVICES = (EDGE_TPU, GPU, NNAPI, CORE_ML)
"""Every device that ``edgequant inspect --for`` knows."""
