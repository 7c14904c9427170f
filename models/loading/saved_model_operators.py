"""TensorFlow operators that a SavedModel may hold, by their function."""

from __future__ import annotations

CALLS = frozenset({"If", "PartitionedCall", "StatefulPartitionedCall", "StatelessIf"})
"""Operators that call functions of the graph, each function once."""

RESTORING = frozenset({"RestoreV2"})
SAVING = frozenset({"MergeV2Checkpoints", "SaveV2"})
"""Operators that read or write files; only the loader's own saver may contain them."""

_VARIABLES = """
    Assign AssignVariableOp DisableCopyOnRead IsVariableInitialized ReadVariableOp VarHandleOp
    VarIsInitializedOp Variable VariableShape VariableV2
"""

_STRINGS = "ShardedFilename StaticRegexFullMatch StringFormat StringJoin"
"""Operators of the saver, which extend its path."""

_SHAPES = """
    BatchToSpace BatchToSpaceND Bitcast BroadcastArgs BroadcastGradientArgs BroadcastTo Cast
    CheckNumerics Concat ConcatOffset ConcatV2 Const DebugGradientIdentity DepthToSpace
    DeepCopy DynamicPartition DynamicStitch Empty EnsureShape ExpandDims ExtractImagePatches Fill
    Gather GatherNd GatherV2 Identity IdentityN InvertPermutation LinSpace MatrixBandPart
    MatrixDiag MatrixDiagPart MatrixDiagPartV2 MatrixDiagPartV3 MatrixDiagV2 MatrixDiagV3
    MirrorPad NoOp OneHot OnesLike Pack Pad PadV2 ParallelConcat Placeholder
    PlaceholderWithDefault PreventGradient Range Rank Reshape ResourceGather Reverse
    ReverseSequence ReverseV2 Roll ScatterNd SelectV2 Select Shape ShapeN Size Slice Snapshot
    SpaceToBatch SpaceToBatchND SpaceToDepth Split SplitV Squeeze StopGradient StridedSlice
    TensorScatterAdd TensorScatterUpdate Tile Transpose Unique UniqueV2 Unpack UnravelIndex
    Where ZerosLike
"""

_ARITHMETIC = """
    Abs AccumulateNV2 Acos Acosh Add AddN AddV2 All Any ApproximateEqual ArgMax ArgMin Asin Asinh
    Assert Atan Atan2 Atanh BatchMatMul BatchMatMulV2 BatchMatMulV3 BesselI0e Bincount BitwiseAnd
    BitwiseOr BitwiseXor Bucketize Ceil ClipByValue Cos Cosh Cumprod Cumsum DenseBincount Digamma
    Div DivNoNan Einsum Equal Erf Erfc Erfinv Exp Expm1 Floor FloorDiv FloorMod Greater
    GreaterEqual InTopK InTopKV2 Inv Invert IsFinite IsInf IsNan L2Loss LeftShift Less LessEqual
    Lgamma Log Log1p LogicalAnd LogicalNot LogicalOr MatMul Max Maximum Mean Min Minimum Mod Mul
    MulNoNan Ndtri Neg NextAfter NotEqual Pow Prod RealDiv Reciprocal RightShift Rint Round Rsqrt
    SegmentMax SegmentMean SegmentMin SegmentProd SegmentSum Sigmoid Sign Sin Sinh Sqrt Square
    SquaredDifference Sub Sum Tan Tanh TopK TopKV2 TruncateDiv TruncateMod UnsortedSegmentMax
    UnsortedSegmentMin UnsortedSegmentProd UnsortedSegmentSum Xdivy Xlog1py Xlogy
"""

_NETWORKS = """
    AdjustContrastv2 AdjustHue AdjustSaturation AvgPool AvgPool3D
    BatchNormWithGlobalNormalization BiasAdd BiasAddV1 Conv Conv2D Conv3D Conv2DBackpropInput
    CropAndResize DepthwiseConv2dNative Dilation2D Elu FusedBatchNorm FusedBatchNormV2
    FusedBatchNormV3 HSVToRGB ImageProjectiveTransformV2 ImageProjectiveTransformV3 LRN LeakyRelu
    LogSoftmax MaxPool MaxPool3D MaxPoolV2 NonMaxSuppression NonMaxSuppressionV2
    NonMaxSuppressionV3 NonMaxSuppressionV4 NonMaxSuppressionV5 CombinedNonMaxSuppression RGBToHSV
    Relu Relu6 ResizeArea ResizeBicubic ResizeBilinear ResizeNearestNeighbor ScaleAndTranslate
    Selu Softmax Softplus Softsign _FusedBatchNormEx _FusedConv2D _FusedMatMul
"""

_QUANTIZERS = """
    Dequantize FakeQuantWithMinMaxArgs FakeQuantWithMinMaxVars FakeQuantWithMinMaxVarsPerChannel
    QuantizeAndDequantize QuantizeAndDequantizeV2 QuantizeAndDequantizeV3 QuantizeAndDequantizeV4
    QuantizeV2
"""

_RANDOM = """
    Multinomial RandomShuffle RandomStandardNormal RandomUniform RandomUniformInt RngReadAndSkip
    StatelessMultinomial StatelessRandomGetAlg StatelessRandomGetKeyCounter
    StatelessRandomGetKeyCounterAlg StatelessRandomNormal StatelessRandomNormalV2
    StatelessRandomUniform StatelessRandomUniformFullInt StatelessRandomUniformFullIntV2
    StatelessRandomUniformInt StatelessRandomUniformIntV2 StatelessRandomUniformV2
    StatelessTruncatedNormalV2 TruncatedNormal
"""
"""Operators of the training form, which files hold beside the inference form."""

COMPUTING = frozenset(
    name
    for group in (_VARIABLES, _STRINGS, _SHAPES, _ARITHMETIC, _NETWORKS, _QUANTIZERS, _RANDOM)
    for name in group.split()
)
"""Operators that compute from tensors and variables without other effects."""
