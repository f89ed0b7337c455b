"""Models of the layers of Keras, and of matrix products."""

from __future__ import annotations

from collections.abc import Iterator

import tensorflow as tf

from benchmarks.gpu_corpus.common import X3, X4, Case, const, spec


def layers() -> Iterator[Case]:
    for number, (a, b, ta, tb) in enumerate(
        (
            ((1, 4, 8), (1, 8, 4), False, False),
            ((1, 2, 16, 8), (1, 2, 8, 16), False, False),
            ((1, 2, 16, 8), (1, 2, 16, 8), False, True),
            ((1, 2, 8, 16), (1, 2, 8, 16), True, False),
            ((2, 3, 16, 8), (2, 3, 8, 4), False, False),
            ((4, 8), (8, 4), False, False),
            ((1, 2, 5, 8), (1, 1, 8, 3), False, False),
            ((1, 1, 5, 8), (1, 2, 8, 3), False, False),
            ((2, 5, 8), (8, 3), False, False),
            ((1, 8, 8, 4), (4, 6), False, False),
            ((1, 2, 3, 4, 8), (1, 2, 3, 8, 4), False, False),
            ((2, 5, 8), (1, 8, 3), False, False),
            ((1, 1, 8), (1, 8, 4), False, False),
            ((3, 1, 8), (3, 8, 4), False, False),
        )
    ):
        first, second, bias = const(*a), const(*b), const(b[-2 if tb else -1])
        yield (
            f"matmul_{number}_run",
            lambda x, y, p=ta, q=tb: tf.matmul(x, y, transpose_a=p, transpose_b=q),
            [spec(*a), spec(*b)],
            {},
        )
        yield (
            f"matmul_{number}_const",
            lambda x, c=second, p=ta, q=tb: tf.matmul(x, c, transpose_a=p, transpose_b=q),
            [spec(*a)],
            {},
        )
        yield (
            f"matmul_{number}_first",
            lambda x, c=first, p=ta, q=tb: tf.matmul(c, x, transpose_a=p, transpose_b=q),
            [spec(*b)],
            {},
        )
        yield (
            f"matmul_{number}_bias",
            lambda x, c=second, d=bias, p=ta, q=tb: tf.nn.relu(tf.matmul(x, c, transpose_a=p, transpose_b=q) + d),
            [spec(*a)],
            {},
        )
    yield "matmul_self", lambda x: tf.matmul(x, x), [spec(1, 8, 8)], {}
    yield "matmul_self_t", lambda x: tf.matmul(x, x, transpose_b=True), [spec(1, 8, 8)], {}
    for shape in ((1, 16), (4, 16), (1, 4, 16), (2, 4, 16), (1, 2, 2, 16), (1, 1, 1, 16)):
        for bias in (True, False):
            for act in (None, "relu", "tanh", "sigmoid", "softmax"):
                if act in ("tanh", "sigmoid") and not bias:
                    continue
                layer = tf.keras.layers.Dense(8, activation=act, use_bias=bias)
                layer.build(shape)
                tag = f"{'x'.join(map(str, shape))}_{bias}_{act}"
                yield f"dense_{tag}", lambda x, layer=layer: layer(x), [spec(*shape)], {}
    convs = {
        "plain": tf.keras.layers.Conv2D(8, 3),
        "same": tf.keras.layers.Conv2D(8, 3, padding="same", activation="relu"),
        "1x1": tf.keras.layers.Conv2D(8, 1),
        "stride": tf.keras.layers.Conv2D(8, 3, 2, "same", activation="relu6"),
        "dilated": tf.keras.layers.Conv2D(8, 3, dilation_rate=2),
        "grouped": tf.keras.layers.Conv2D(8, 3, groups=2),
        "nobias": tf.keras.layers.Conv2D(8, 3, use_bias=False),
        "one": tf.keras.layers.Conv2D(1, 3),
        "big": tf.keras.layers.Conv2D(128, 3, padding="same"),
        "tanh": tf.keras.layers.Conv2D(8, 3, activation="tanh"),
        "full": tf.keras.layers.Conv2D(8, 8),
        "grouped4": tf.keras.layers.Conv2D(8, 3, groups=4),
        "1x5": tf.keras.layers.Conv2D(8, (1, 5)),
        "dil_same": tf.keras.layers.Conv2D(8, 3, padding="same", dilation_rate=2),
        "dw": tf.keras.layers.DepthwiseConv2D(3),
        "dw_same": tf.keras.layers.DepthwiseConv2D(3, padding="same", activation="relu6"),
        "dw_stride": tf.keras.layers.DepthwiseConv2D(3, 2, "same"),
        "dw_mult": tf.keras.layers.DepthwiseConv2D(3, depth_multiplier=2),
        "dw_nobias": tf.keras.layers.DepthwiseConv2D(3, use_bias=False),
        "dw_5": tf.keras.layers.DepthwiseConv2D(5, padding="same"),
        "sep": tf.keras.layers.SeparableConv2D(8, 3, padding="same"),
        "t2": tf.keras.layers.Conv2DTranspose(8, 3, 2, "same"),
        "t4": tf.keras.layers.Conv2DTranspose(8, 4, 2, "same"),
        "t1": tf.keras.layers.Conv2DTranspose(8, 3, 1),
        "t22": tf.keras.layers.Conv2DTranspose(8, 2, 2),
        "t_nobias": tf.keras.layers.Conv2DTranspose(3, 4, 2, "same", use_bias=False),
        "t5": tf.keras.layers.Conv2DTranspose(8, 5, 3, "valid"),
        "avg": tf.keras.layers.AveragePooling2D(2),
        "max": tf.keras.layers.MaxPooling2D(3, 2, "same"),
        "avg1": tf.keras.layers.AveragePooling2D(3, 1, "same"),
        "gap": tf.keras.layers.GlobalAveragePooling2D(),
        "gmp": tf.keras.layers.GlobalMaxPooling2D(),
        "gapk": tf.keras.layers.GlobalAveragePooling2D(keepdims=True),
        "bn": tf.keras.layers.BatchNormalization(),
        "ln": tf.keras.layers.LayerNormalization(),
        "prelu": tf.keras.layers.PReLU(),
        "prelu_shared": tf.keras.layers.PReLU(shared_axes=[1, 2]),
        "prelu_one": tf.keras.layers.PReLU(shared_axes=[1, 2, 3]),
        "up": tf.keras.layers.UpSampling2D(2),
        "upb": tf.keras.layers.UpSampling2D(2, interpolation="bilinear"),
        "gn": tf.keras.layers.GroupNormalization(2),
        "zp": tf.keras.layers.ZeroPadding2D(1),
        "crop": tf.keras.layers.Cropping2D(1),
        "flatten": tf.keras.layers.Flatten(),
        "leaky": tf.keras.layers.LeakyReLU(),
        "elu": tf.keras.layers.ELU(),
        "maxfull": tf.keras.layers.MaxPooling2D(8),
        "permute": tf.keras.layers.Permute((3, 1, 2)),
    }
    for name, layer in convs.items():
        layer.build((1, 8, 8, 4))
        yield f"layer_{name}", lambda x, layer=layer: layer(x), [X4], {}
        yield f"layer_{name}_relu", lambda x, layer=layer: tf.nn.relu(layer(tf.exp(x))), [X4], {}
        yield f"layer_{name}_batch", lambda x, layer=layer: layer(x), [spec(3, 8, 8, 4)], {}
    yield (
        "dw_one_channel",
        (lambda one: one.build((1, 8, 8, 1)) or (lambda x: one(x)))(
            tf.keras.layers.DepthwiseConv2D(3, depth_multiplier=4)
        ),
        [spec(1, 8, 8, 1)],
        {},
    )
    yield "conv_run", lambda x, w: tf.nn.conv2d(x, w, 1, "SAME"), [X4, spec(3, 3, 4, 8)], {}
    yield "dw_run", lambda x, w: tf.nn.depthwise_conv2d(x, w, (1, 1, 1, 1), "SAME"), [X4, spec(3, 3, 4, 1)], {}
    yield (
        "conv_big",
        (lambda one: one.build((1, 32, 32, 64)) or (lambda x: one(x)))(tf.keras.layers.Conv2D(64, 3, padding="same")),
        [spec(1, 32, 32, 64)],
        {},
    )
    rank3 = {
        "conv1d": tf.keras.layers.Conv1D(8, 3),
        "conv1d_causal": tf.keras.layers.Conv1D(8, 3, padding="causal", dilation_rate=2),
        "pool1d": tf.keras.layers.MaxPooling1D(2),
        "gap1d": tf.keras.layers.GlobalAveragePooling1D(),
        "lstm": tf.keras.layers.LSTM(4),
        "lstm_seq": tf.keras.layers.LSTM(4, return_sequences=True),
        "lstm_unroll": tf.keras.layers.LSTM(4, unroll=True),
        "gru": tf.keras.layers.GRU(4),
        "gru_unroll": tf.keras.layers.GRU(4, unroll=True),
        "rnn": tf.keras.layers.SimpleRNN(4),
        "rnn_unroll": tf.keras.layers.SimpleRNN(4, unroll=True),
        "bilstm": tf.keras.layers.Bidirectional(tf.keras.layers.LSTM(4)),
        "ln3": tf.keras.layers.LayerNormalization(),
        "bn3": tf.keras.layers.BatchNormalization(),
        "tdd": tf.keras.layers.TimeDistributed(tf.keras.layers.Dense(4)),
        "repeat": tf.keras.layers.UpSampling1D(2),
        "dense_gelu": tf.keras.layers.Dense(8, activation="gelu"),
    }
    for name, layer in rank3.items():
        layer.build((1, 6, 8))
        yield f"layer_{name}", lambda x, layer=layer: layer(x), [X3], {}
        yield f"layer_{name}_head", lambda x, layer=layer: tf.nn.relu(layer(tf.exp(x))), [X3], {}
    attention = tf.keras.layers.MultiHeadAttention(2, 8)
    attention.build((1, 6, 8), (1, 6, 8))
    yield "layer_attention", lambda x: attention(x, x), [X3], {}
    for name, layer, image in (
        ("conv3d", tf.keras.layers.Conv3D(4, 3), (1, 5, 5, 5, 2)),
        ("conv3dt", tf.keras.layers.Conv3DTranspose(4, 3), (1, 4, 4, 4, 2)),
        ("pool3d", tf.keras.layers.MaxPooling3D(2), (1, 4, 4, 4, 2)),
        ("convlstm", tf.keras.layers.ConvLSTM2D(3, 3), (1, 3, 6, 6, 2)),
    ):
        layer.build(image)
        yield f"layer_{name}", lambda x, layer=layer: layer(x), [spec(*image)], {}
