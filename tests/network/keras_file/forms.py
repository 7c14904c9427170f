"""Small networks: a convolution, and what the converter may join with it, move or drop."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
from keras import layers

Form = Callable[[Any], Any]


def network(form: Form) -> keras.Model:
    """A network of 8x8 pixels that ends in a form."""
    image = keras.Input((8, 8, 3))
    return keras.Model(image, form(layers.Conv2D(4, 3, name="c")(image)))


READ: dict[str, Form] = {
    "flatten": lambda x: layers.Dense(3, name="d")(layers.Flatten(name="fl")(x)),
    "dense_relu_layer": lambda x: layers.Dense(3, name="e")(
        layers.ReLU(name="r")(layers.Dense(3, name="d")(layers.Flatten(name="fl")(x)))
    ),
    "dense_bn": lambda x: layers.Dense(2)(
        layers.ReLU(6.0)(
            layers.BatchNormalization(name="b")(
                layers.Dense(3, use_bias=False, name="d")(layers.Flatten(name="fl")(x))
            )
        )
    ),
    "dense_act": lambda x: layers.Dense(2)(
        layers.Dense(3, activation="relu6", name="d")(layers.GlobalAveragePooling2D()(x))
    ),
    "bn_relu_conv": lambda x: layers.Conv2D(2, 3)(
        layers.ReLU()(layers.BatchNormalization()(layers.ReLU(6.0)(x)))
    ),
    "bn_bn": lambda x: layers.BatchNormalization()(layers.BatchNormalization()(x)),
    "add_relu": lambda x: layers.ReLU(6.0)(layers.Add()([x, layers.Conv2D(4, 1)(x)])),
    "same_add": lambda x: layers.Add()([x, x]),
    "square": lambda x: layers.Multiply()([x, x]),
    "relu_of_pool": lambda x: layers.ReLU()(layers.MaxPooling2D(2)(x)),
    "relu_pad": lambda x: layers.Conv2D(3, 3, padding="valid")(
        layers.ZeroPadding2D(1)(layers.ReLU()(x))
    ),
    "pad_dw2": lambda x: layers.DepthwiseConv2D(3, strides=2)(
        layers.ZeroPadding2D(((0, 1), (0, 1)))(x)
    ),
    "conv_dil": lambda x: layers.Conv2D(3, 3, dilation_rate=2, padding="same")(x),
    "dw_dil_valid": lambda x: layers.DepthwiseConv2D(3, dilation_rate=2)(x),
    "dw_mult": lambda x: layers.DepthwiseConv2D(3, depth_multiplier=3)(x),
    "dw_1in": lambda x: layers.Conv2D(3, 1)(
        layers.DepthwiseConv2D(3, depth_multiplier=2)(layers.Conv2D(1, 1)(x))
    ),
    "hs_alone": lambda x: layers.Activation("hard_sigmoid")(layers.MaxPooling2D(2)(x)),
    "hswish_twice": lambda x: layers.Activation("hard_silu")(layers.Activation("hard_silu")(x)),
    "relu_twice": lambda x: layers.ReLU(6.0)(layers.ReLU()(x)),
    "mul_bcast": lambda x: layers.Multiply()([layers.GlobalAveragePooling2D(keepdims=True)(x), x]),
    "add_bcast_rev": lambda x: layers.Add()([layers.GlobalAveragePooling2D(keepdims=True)(x), x]),
    "up_up": lambda x: layers.UpSampling2D(2, interpolation="bilinear")(
        layers.UpSampling2D(2, interpolation="bilinear")(x)
    ),
    "concat_relu": lambda x: layers.ReLU()(layers.Concatenate()([x, layers.Conv2D(2, 1)(x)])),
    "concat_same": lambda x: layers.Concatenate()([x, x]),
    "dropout_end": lambda x: layers.Dropout(0.2)(x),
    "softmax_map": lambda x: layers.Activation("softmax")(x),
    "mid_output": lambda x: [x, layers.ReLU()(x)],
    "mid_output_bn": lambda x: [layers.BatchNormalization()(x), x],
    "conv1x1map": lambda x: layers.Conv2D(5, 6)(x),
    "linear": lambda x: layers.Activation("linear")(x),
    "sigm_mul": lambda x: layers.Multiply()([x, layers.Activation("sigmoid")(x)]),
    "avg_same": lambda x: layers.AveragePooling2D(2, 2, "same")(x),
    "grp_bn": lambda x: layers.ReLU()(
        layers.BatchNormalization()(layers.Conv2D(4, 3, groups=2, use_bias=False)(x))
    ),
    "dw_group": lambda x: layers.Conv2D(4, 3, groups=4)(x),
    "grp_bias": lambda x: layers.Conv2D(8, 3, groups=2, padding="same", activation="relu")(x),
    "gap_reshape": lambda x: layers.Conv2D(3, 1)(
        layers.Reshape((1, 1, 4))(layers.GlobalAveragePooling2D()(x))
    ),
    "scale1": lambda x: layers.BatchNormalization(epsilon=0.0)(x),
    "pad_pool": lambda x: layers.MaxPooling2D(3, 2)(layers.ZeroPadding2D(1)(x)),
    "up1": lambda x: layers.UpSampling2D(1, interpolation="bilinear")(x),
    "pool1": lambda x: layers.MaxPooling2D(1)(x),
    "names": lambda x: layers.Conv2D(3, 1, name="c_1")(
        layers.Conv2D(3, 1, name="C")(layers.Conv2D(3, 1, name="c_1_1")(x))
    ),
    "gapk_flat": lambda x: layers.Dense(3)(
        layers.Flatten()(layers.GlobalAveragePooling2D(keepdims=True)(x))
    ),
    "gapk_flat_end": lambda x: layers.Flatten()(layers.GlobalAveragePooling2D(keepdims=True)(x)),
    "gapk_conv_flat": lambda x: layers.Flatten()(
        layers.Conv2D(3, 1)(layers.GlobalAveragePooling2D(keepdims=True)(x))
    ),
    "bn_dw": lambda x: layers.DepthwiseConv2D(3)(
        layers.BatchNormalization()(layers.MaxPooling2D(2)(x))
    ),
    "bn_dw_same": lambda x: layers.DepthwiseConv2D(3, padding="same")(
        layers.BatchNormalization()(layers.MaxPooling2D(2)(x))
    ),
    "three": lambda x: layers.Concatenate()(
        [
            layers.Conv2D(2, 1, name="zz")(x),
            layers.Conv2D(2, 1, name="aa")(layers.ReLU(name="b1")(x)),
            layers.MaxPooling2D(3, 1, "same", name="mm")(x),
        ]
    ),
    "mulconst_chain": lambda x: layers.Conv2D(2, 3)(
        layers.Activation("hard_silu")(layers.BatchNormalization()(layers.MaxPooling2D(2)(x)))
    ),
    "bn_add_bn": lambda x: layers.BatchNormalization()(
        layers.Add()([x, layers.BatchNormalization()(layers.Conv2D(4, 1)(x))])
    ),
    "relu_shared": lambda x: (
        lambda r: layers.Add()([layers.Conv2D(4, 1)(r), layers.BatchNormalization()(r)])
    )(layers.ReLU()(x)),
    "silu_dw": lambda x: layers.DepthwiseConv2D(3, activation="silu")(x),
    "sm_reshape": lambda x: layers.Reshape((12, 12))(layers.Activation("softmax")(x)),
    "bn_sig": lambda x: layers.Activation("sigmoid")(layers.BatchNormalization()(x)),
    "bias_bn": lambda x: layers.ReLU(6.0)(
        layers.BatchNormalization()(layers.Conv2D(4, 3, padding="same")(layers.ReLU()(x)))
    ),
    "actconv_bn": lambda x: layers.BatchNormalization()(layers.Conv2D(4, 3, activation="relu")(x)),
    "dwbias_bn": lambda x: layers.BatchNormalization()(layers.DepthwiseConv2D(3)(x)),
    "up_relu": lambda x: layers.ReLU()(layers.UpSampling2D(2, interpolation="bilinear")(x)),
    "perm_conv": lambda x: layers.Conv2D(2, 1)(layers.Permute((3, 1, 2))(x)),
    "mul_self_gate": lambda x: layers.Multiply()([layers.Activation("hard_sigmoid")(x), x]),
    "clip_add": lambda x: layers.Add()(
        [layers.ReLU(6.0)(x), layers.Activation("relu6")(layers.MaxPooling2D(3, 1, "same")(x))]
    ),
    "split2": lambda x: layers.Concatenate()(list(reversed(keras.ops.split(x, 2, axis=-1)))),
    "split_out": lambda x: list(keras.ops.split(x, 2, axis=-1)),
    "split_one": lambda x: keras.ops.split(x, 2, axis=-1)[1],
    "dense_unused": lambda x: layers.Dense(3, use_bias=False, activation="softmax")(
        layers.Flatten()(x)
    ),
}
"""Ends of networks behind a convolution that are read."""

LEFT: dict[str, Form] = {
    "mean1": lambda x: layers.Conv2D(2, 1)(
        layers.GlobalAveragePooling2D(keepdims=True)(layers.MaxPooling2D(6)(x))
    ),
    "mean1k": lambda x: layers.Dense(2)(layers.GlobalAveragePooling2D()(layers.MaxPooling2D(6)(x))),
    "pad_dw_dil": lambda x: layers.DepthwiseConv2D(3, dilation_rate=2)(layers.ZeroPadding2D(2)(x)),
    "reshape_reshape": lambda x: layers.Reshape((12, 12))(layers.Reshape((36, 4))(x)),
    "perm_perm": lambda x: layers.Permute((2, 1, 3))(layers.Permute((2, 1, 3))(x)),
    "flatten_flat": lambda x: layers.Flatten()(layers.GlobalAveragePooling2D()(x)),
    "bn_dense": lambda x: layers.Dense(3)(layers.BatchNormalization()(layers.Flatten()(x))),
    "bn_gap": lambda x: layers.Dense(3)(
        layers.BatchNormalization()(layers.GlobalAveragePooling2D()(x))
    ),
    "pad0": lambda x: layers.ZeroPadding2D(0)(x),
    "reshape_noop": lambda x: layers.Reshape((6, 6, 4))(x),
    "perm_noop": lambda x: layers.Permute((1, 2, 3))(x),
    "hs_conv": lambda x: layers.Conv2D(3, 3)(layers.Activation("hard_sigmoid")(x)),
    "hs_conv_same": lambda x: layers.Conv2D(3, 3, padding="same")(
        layers.Activation("hard_sigmoid")(layers.MaxPooling2D(2)(x))
    ),
    "bn1_conv": lambda x: layers.Conv2D(2, 3)(
        layers.BatchNormalization()(layers.MaxPooling2D(2)(layers.Conv2D(1, 1)(x)))
    ),
    "bn1_conv_b": lambda x: layers.Conv2D(2, 1)(
        layers.BatchNormalization()(layers.MaxPooling2D(2)(layers.Conv2D(1, 1)(x)))
    ),
    "outs_alias": lambda x: [x, layers.Dropout(0.1)(x)],
    "densebn2": lambda x: layers.BatchNormalization()(
        layers.Dense(3, activation="relu")(layers.Flatten()(x))
    ),
    "pad_pad": lambda x: layers.ZeroPadding2D(1)(layers.ZeroPadding2D(1)(x)),
    "pad_shared": lambda x: (
        lambda p: layers.Concatenate()([layers.Conv2D(2, 3)(p), layers.Conv2D(2, 3)(p)])
    )(layers.ZeroPadding2D(1)(x)),
    "add_dense": lambda x: layers.Add()(
        [layers.Dense(3)(layers.Flatten()(x)), layers.Dense(3)(layers.Flatten()(x))]
    ),
    "flat_shared": lambda x: (lambda f: layers.Add()([layers.Dense(3)(f), layers.Dense(3)(f)]))(
        layers.Flatten()(x)
    ),
    "flat1_shared": lambda x: (lambda f: layers.Add()([layers.Dense(3)(f), layers.Dense(3)(f)]))(
        layers.Flatten()(layers.MaxPooling2D(6)(x))
    ),
}
"""Ends that the converter simplifies further, and Keras reads."""
