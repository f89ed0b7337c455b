"""Models of operators that reduce, move, cut and join."""

from __future__ import annotations

from collections.abc import Iterator

import tensorflow as tf

from benchmarks.gpu_corpus.common import RANKS, X1, X2, X3, X4, Case, const, spec


def shaping() -> Iterator[Case]:
    reduce = {
        "mean": tf.reduce_mean,
        "sum": tf.reduce_sum,
        "max": tf.reduce_max,
        "min": tf.reduce_min,
        "prod": tf.reduce_prod,
    }
    for name, op in reduce.items():
        for keep in (True, False):
            for axes in ([1, 2], [3], [-1], [0], [1], [0, 1, 2], [1, 2, 3], [0, 1, 2, 3]):
                tag = "".join(map(str, axes)).replace("-", "m")
                yield f"reduce_{name}_4_{tag}_{keep}", lambda x, op=op, a=axes, k=keep: op(x, a, keepdims=k), [X4], {}
            for axes in ([1], [-1], [0], [1, 2], [0, 2]):
                tag = "".join(map(str, axes)).replace("-", "m")
                if name in ("mean", "sum"):
                    yield (
                        f"reduce_{name}_3_{tag}_{keep}",
                        lambda x, op=op, a=axes, k=keep: op(x, a, keepdims=k),
                        [X3],
                        {},
                    )
            yield f"reduce_{name}_2_{keep}", lambda x, op=op, k=keep: op(x, -1, keepdims=k), [X2], {}
            yield f"reduce_{name}_1_{keep}", lambda x, op=op, k=keep: op(x, 0, keepdims=k), [X1], {}
            yield f"reduce_{name}_5_{keep}", lambda x, op=op, k=keep: op(x, [1, 2], keepdims=k), [RANKS[5]], {}
    for number, (shape, to) in enumerate(
        (
            ((1, 8, 8, 4), (1, 256)),
            ((1, 8, 8, 4), (1, 64, 4)),
            ((1, 8, 8, 4), (256,)),
            ((1, 8), (8,)),
            ((1, 6, 8), (1, 6, 2, 4)),
            ((1, 6, 8), (1, 6, 2, 2, 2)),
            ((4, 6), (2, 2, 6)),
            ((1, 8, 8, 4), (-1, 4)),
            ((1, 1, 1, 1), (1,)),
            ((1, 1), ()),
        )
    ):
        yield f"reshape_{number}", lambda x, to=to: tf.reshape(x, to) * 1.0, [spec(*shape)], {}
        yield f"reshape_{number}_exp", lambda x, to=to: tf.exp(tf.reshape(x, to)), [spec(*shape)], {}
    yield "squeeze", lambda x: tf.squeeze(x, [1]), [spec(1, 1, 8, 4)], {}
    yield "expand", lambda x: tf.expand_dims(x, -1), [X3], {}
    for shape, order in (
        ((1, 8, 6, 4), (0, 2, 1, 3)),
        ((1, 8, 6, 4), (0, 3, 1, 2)),
        ((2, 8, 6, 4), (1, 0, 2, 3)),
        ((1, 8, 6, 4), (3, 2, 1, 0)),
        ((1, 6, 8), (0, 2, 1)),
        ((2, 6, 8), (2, 0, 1)),
        ((3, 5), (1, 0)),
        ((1, 2, 3, 4, 5), (0, 1, 3, 2, 4)),
        ((2, 6, 8), (1, 0, 2)),
    ):
        tag = "".join(map(str, order))
        yield f"transpose_{tag}_{shape[0]}", lambda x, o=order: tf.transpose(x, o), [spec(*shape)], {}
    for number, (shape, pads, mode) in enumerate(
        (
            ((1, 8, 8, 4), ((0, 0), (1, 1), (1, 1), (0, 0)), "CONSTANT"),
            ((1, 8, 8, 4), ((0, 0), (0, 0), (0, 0), (0, 3)), "CONSTANT"),
            ((1, 6, 8), ((0, 0), (1, 2), (0, 0)), "CONSTANT"),
            ((1, 8), ((0, 0), (0, 2)), "CONSTANT"),
            ((8,), ((1, 1),), "CONSTANT"),
            ((1, 8, 8, 4), ((1, 0), (0, 0), (0, 0), (0, 0)), "CONSTANT"),
            ((1, 2, 2, 2, 3), ((0, 0), (1, 1), (0, 0), (0, 0), (0, 0)), "CONSTANT"),
            ((1, 8, 8, 4), ((0, 0), (1, 1), (1, 1), (0, 0)), "REFLECT"),
            ((1, 8, 8, 4), ((0, 0), (1, 1), (1, 1), (0, 0)), "SYMMETRIC"),
            ((1, 6, 8), ((0, 0), (1, 2), (0, 0)), "REFLECT"),
            ((1, 6, 8), ((0, 0), (0, 0), (2, 2)), "CONSTANT"),
        )
    ):
        yield f"pad_{number}", lambda x, p=pads, m=mode: tf.pad(x, p, m), [spec(*shape)], {}
        if mode == "CONSTANT":
            yield f"padv2_{number}", lambda x, p=pads: tf.pad(x, p, constant_values=1.5), [spec(*shape)], {}
            yield f"pad_relu_{number}", lambda x, p=pads: tf.nn.relu(tf.pad(tf.exp(x), p)), [spec(*shape)], {}
    for rank, axis in ((4, 3), (4, 1), (4, 2), (4, 0), (3, 2), (3, 1), (3, 0), (2, 1), (2, 0), (1, 0), (5, 4)):
        x = RANKS[rank]
        fixed = const(*x.shape)
        yield f"concat_{rank}_{axis}", lambda a, b, i=axis: tf.concat([a, b], i), [x, x], {}
        yield f"concat_const_{rank}_{axis}", lambda a, i=axis, c=fixed: tf.concat([a, c], i), [x], {}
        yield f"concat_same_{rank}_{axis}", lambda a, i=axis: tf.concat([a, a], i), [x], {}
    yield "concat_many", lambda a: tf.concat([a * float(i + 1) for i in range(20)], 3), [X4], {}
    yield "concat_odd", lambda a, b: tf.concat([a, b], 3), [spec(1, 4, 4, 3), spec(1, 4, 4, 5)], {}
    for rank, axis, parts in (
        (4, 3, 2),
        (4, 1, 4),
        (4, 2, 2),
        (3, 2, 2),
        (3, 1, 3),
        (2, 1, 4),
        (1, 0, 2),
        (4, 3, [1, 3]),
        (3, 1, [2, 4]),
        (5, 4, 2),
        (4, 3, 1),
    ):
        tag = f"{rank}_{axis}_{parts if isinstance(parts, int) else 'v'}"
        yield f"split_{tag}", lambda a, i=axis, p=parts: [one * 2.0 for one in tf.split(a, p, i)], [RANKS[rank]], {}
    for rank, axis in ((4, 0), (4, 1), (4, 3), (3, 0), (3, 1), (3, 2), (2, 0), (2, 1), (1, 0)):
        yield f"unstack_{rank}_{axis}", lambda a, i=axis: tf.unstack(a, axis=i), [RANKS[rank]], {}
    for rank, axis in ((3, 0), (3, 1), (3, 3), (2, 0), (2, 1), (2, 2), (1, 0), (1, 1), (4, 1)):
        fixed = const(*RANKS[rank].shape)
        yield f"stack_{rank}_{axis}", lambda a, b, i=axis: tf.stack([a, b], axis=i), [RANKS[rank]] * 2, {}
        yield (
            f"stack_const_{rank}_{axis}",
            lambda a, i=axis, c=fixed: tf.stack([a, c], axis=i),
            [RANKS[rank]],
            {},
        )
    slices = {
        "ss4": (4, lambda x: x[:, 1:5, 2:6, :]),
        "ss4_stride": (4, lambda x: x[:, ::2, ::2, :]),
        "ss4_shrink": (4, lambda x: x[:, 0]),
        "ss4_new": (4, lambda x: x[:, tf.newaxis, :, :, 0]),
        "ss4_rev": (4, lambda x: x[:, ::-1]),
        "ss4_neg": (4, lambda x: x[:, :-1, 1:-1]),
        "ss4_short": (4, lambda x: x[:, 2:4]),
        "ss4_ell": (4, lambda x: x[..., 1:3]),
        "ss4_over": (4, lambda x: x[:, 2:99]),
        "ss3": (3, lambda x: x[:, 1:4, :]),
        "ss3_last": (3, lambda x: x[:, :, 2:6]),
        "ss3_short": (3, lambda x: x[:, 1:3]),
        "ss3_shrink": (3, lambda x: x[:, -1, :]),
        "ss2": (2, lambda x: x[:, 2:5]),
        "ss1": (1, lambda x: x[2:5]),
        "ss5": (5, lambda x: x[:, :, :, 1:2]),
        "slice4": (4, lambda x: tf.slice(x, [0, 1, 2, 0], [1, 3, 4, -1])),
        "slice3": (3, lambda x: tf.slice(x, [0, 1, 0], [1, 3, 8])),
        "slice3_neg": (3, lambda x: tf.slice(x, [0, 1, 2], [-1, -1, -1])),
        "slice2": (2, lambda x: tf.slice(x, [0, 1], [1, 3])),
        "slice1": (1, lambda x: tf.slice(x, [1], [3])),
    }
    for name, (rank, op) in slices.items():
        yield f"slice_{name}", lambda x, op=op: op(x) * 2.0, [RANKS[rank]], {}
        yield f"slice_{name}_only", lambda x, op=op: op(x), [RANKS[rank]], {}
    yield "slice3_batch", lambda x: x[1:3, :, :] * 2.0, [spec(4, 6, 8)], {}
    for shape, times in (
        ((1, 4, 4, 4), (1, 2, 2, 1)),
        ((1, 4, 4, 3), (1, 1, 1, 2)),
        ((1, 6, 8), (1, 2, 1)),
        ((2, 3), (2, 2)),
        ((3,), (4,)),
        ((1, 1, 4, 1, 3), (1, 2, 1, 2, 1)),
    ):
        yield f"tile_{len(shape)}_{times[-1]}", lambda x, t=times: tf.tile(x, t) * 2.0, [spec(*shape)], {}
    yield "broadcast", lambda x: tf.broadcast_to(x, (1, 8, 8, 4)) * 2.0, [spec(1, 1, 1, 4)], {}
    yield "broadcast_add", lambda x, y: tf.broadcast_to(x, (1, 8, 8, 4)) + y, [spec(1, 1, 1, 4), X4], {}
    for name, op in (("bilinear", "bilinear"), ("nearest", "nearest")):
        for corners in (False, True):
            for half in (False, True):
                if corners and half:
                    continue
                raw = tf.raw_ops.ResizeBilinear if op == "bilinear" else tf.raw_ops.ResizeNearestNeighbor
                yield (
                    f"resize_{name}_{corners}_{half}",
                    lambda x, r=raw, c=corners, h=half: r(
                        images=x, size=[16, 12], align_corners=c, half_pixel_centers=h
                    ),
                    [X4],
                    {},
                )
        yield f"resize_{name}_to1", lambda x, o=op: tf.image.resize(x, [1, 1], o), [X4], {}
    yield "resize_by_shape", lambda x, y: tf.image.resize(x, tf.shape(y)[1:3]), [X4, spec(1, 16, 16, 2)], {}
    for block in (2, 4):
        yield f"d2s_{block}", lambda x, b=block: tf.nn.depth_to_space(x, b), [spec(1, 4, 4, 32)], {}
        yield f"s2d_{block}", lambda x, b=block: tf.nn.space_to_depth(x, b), [X4], {}
    yield "s2b", lambda x: tf.space_to_batch(x, [2, 2], [[0, 0], [0, 0]]) * 2.0, [X4], {}
    yield "b2s", lambda x: tf.batch_to_space(x, [2, 2], [[0, 0], [0, 0]]) * 2.0, [spec(4, 4, 4, 3)], {}
    yield "shape", lambda x: tf.cast(tf.shape(x), tf.float32), [X4], {}
    yield "reshape_by_shape", lambda x: tf.reshape(x, [tf.shape(x)[0], -1]) * 2, [spec(None, 8, 8, 4)], {}
    yield "fill", lambda x: x + tf.fill(tf.shape(x), 2.0), [spec(None, 4)], {}
    yield "range", lambda x: tf.cast(tf.range(tf.shape(x)[1]), tf.float32) + x, [spec(None, None)], {}
