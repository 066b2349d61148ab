"""The one table of what the elements of each operator's result read of its operands.

What has no row is not followed. Rows of ``ONE`` read their first operand; if another one depends on
the input, too, only an end of all fields is certain.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import torch

from cnnbench.analysis import field_rules as rules
from cnnbench.analysis import operators, stencils
from cnnbench.analysis.assembled import concatenated
from cnnbench.analysis.field_rules import Operand, Shape
from cnnbench.analysis.tracked import Tracked, ended, joined

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from torch._ops import OpOverload

    Results = Sequence[Tracked | None]
    FieldRule = Callable[..., Results]


def operands(arguments: Iterable[Any]) -> Iterator[Operand]:
    """The tensors among arguments, one list deep."""
    for item in arguments:
        if isinstance(item, Operand):
            yield item
        elif isinstance(item, list):
            yield from operands(item)


# Rules of operators that read several operands: (shapes of the results, arguments).


def _pointwise(outs: Sequence[Shape], *arguments: Any) -> Results:
    known = [one.tracked for one in operands(arguments) if one.tracked is not None]
    return [joined(known, outs[0])]


def _filled(outs: Sequence[Shape], target: Operand, source: Any, *_: Any) -> Results:
    del target
    known = isinstance(source, Operand) and source.tracked is not None
    return [source.tracked.expanded(outs[0]) if known else None]


def _constant(outs: Sequence[Shape], *_: Any) -> Results:
    return [None] * len(outs)


def _cat(outs: Sequence[Shape], parts: Sequence[Operand], dim: int = 0) -> Results:
    # Old networks concatenate to an empty tensor of one axis.
    parts = [part for part in parts if len(part.shape) == len(outs[0])]
    dim %= len(outs[0])
    sizes = [part.shape[dim] for part in parts]
    return [concatenated([part.tracked for part in parts], dim, sizes)]


def _stack(outs: Sequence[Shape], parts: Sequence[Operand], dim: int = 0) -> Results:
    dim %= len(outs[0])
    apart = [part.tracked and part.tracked.inserted(dim) for part in parts]
    return [concatenated(apart, dim, [1] * len(parts))]


def _product(outs: Sequence[Shape], left: Operand, right: Operand, *_: Any) -> Results:
    """``(..., n, k) (..., k, m)``; either may be a vector."""
    return [_contracted(outs[0], left, right)]


def _contracted(out: Shape, left: Operand, right: Operand) -> Tracked:
    parts = []
    if left.tracked is not None:
        last = len(left.shape) - 1
        parts.append(left.tracked.mixed([last]).resized(last, 1))
        if len(right.shape) == 1:
            parts[-1] = parts[-1].removed(last)
    if right.tracked is not None:
        first = max(len(right.shape) - 2, 0)
        mixed = right.tracked.mixed([first]).resized(first, 1)
        parts.append(
            mixed if len(left.shape) > 1 and len(right.shape) > 1 else mixed.removed(first)
        )
    return joined(parts, out)


def _added_product(
    outs: Sequence[Shape], start: Operand, left: Operand, right: Operand, *_: Any
) -> Results:
    parts = [] if start.tracked is None else [start.tracked]
    if left.tracked is not None or right.tracked is not None:
        parts.append(_contracted(outs[0], left, right))
    return [joined(parts, outs[0])]


def _linear(outs: Sequence[Shape], source: Operand, weight: Operand, *_: Any) -> Results:
    if weight.tracked is not None or source.tracked is None:
        return []
    last = len(outs[0]) - 1
    return [source.tracked.mixed([last]).resized(last, outs[0][last])]


def _attention(
    outs: Sequence[Shape], query: Operand, key: Operand, value: Operand, *_: Any
) -> Results:
    """Every query reads all keys and values of its head."""
    last = len(outs[0]) - 1
    parts = []
    for one, mixed in ((query, [last]), (key, [last - 1, last]), (value, [last - 1])):
        part = one.tracked
        if part is not None:
            part = part.mixed(mixed)
            for dim in mixed:
                part = part.resized(dim, 1)
            parts.append(part)
    return [joined(parts, outs[0])]


def _unbind(outs: Sequence[Shape], source: Operand, dim: int = 0) -> Results:
    one = source.tracked
    return [one and one.removed(dim % len(source.shape), place) for place in range(len(outs))]


def _split(outs: Sequence[Shape], source: Operand, sizes: Any = None, dim: int = 0) -> Results:
    del sizes
    dim %= len(source.shape)
    results, begin = [], 0
    for out in outs:
        stencil = stencils.shifted((source.shape[dim], out[dim]), begin)
        results.append(source.tracked and source.tracked.through(dim, stencil))
        begin += out[dim]
    return results


def _of_one(rule: Callable[..., Tracked]) -> FieldRule:
    def results(outs: Sequence[Shape], *arguments: Any) -> Results:
        known = [one.tracked for one in operands(arguments) if one.tracked is not None]
        source = arguments[0] if arguments else None
        if isinstance(source, Operand) and source.tracked is not None and len(known) == 1:
            return [rule(source.tracked, outs[0], *arguments[1:])] * len(outs)
        return [ended(known, out) for out in outs]

    return results


_RESIZES: dict[str, Callable[..., Any]] = {
    "upsample_nearest{}d": stencils.nearest,
    "_upsample_nearest_exact{}d": stencils.nearest_exact,
    "upsample_linear{}d": stencils.linear,
    "upsample_bilinear{}d": stencils.linear,
    "upsample_trilinear{}d": stencils.linear,
    "upsample_bicubic{}d": partial(stencils.linear, reach=2),
    "_upsample_bilinear{}d_aa": partial(rules.antialiased, reach=1),
    "_upsample_lanczos{}d_aa": partial(rules.antialiased, reach=3),
    "_upsample_bicubic{}d_aa": partial(rules.antialiased, reach=2),
}


def _spatial() -> Iterator[tuple[str, Callable[..., Tracked]]]:
    """Windows, pooling, resizing and padding along one, two and three axes."""
    for axes in (1, 2, 3):
        yield f"max_pool{axes}d_with_indices", partial(rules.pool, axes)
        yield f"max_pool{axes}d", partial(rules.pool, axes)
        yield f"avg_pool{axes}d", partial(rules.average_pool, axes)
        for name in ("_adaptive_avg_pool", "adaptive_avg_pool", "adaptive_max_pool"):
            yield f"{name}{axes}d", partial(rules.adaptive_pool, axes)
        for name, kind in _RESIZES.items():
            yield name.format(axes), partial(rules.resize, axes, kind)
        for name in ("reflection_pad", "replication_pad"):
            yield f"{name}{axes}d", rules.pad


_ONE: dict[Callable[..., Tracked], str] = {
    rules.convolution: "convolution convolution_overrideable _convolution",
    rules.same: "alias detach native_dropout _native_batch_norm_legit_no_training "
    "_batch_norm_with_update _batch_norm_no_update",
    rules.batch_norm: "native_batch_norm cudnn_batch_norm miopen_batch_norm "
    "_native_batch_norm_legit _native_batch_norm_legit_functional",
    rules.layer_norm: "native_layer_norm _fused_rms_norm",
    rules.group_norm: "native_group_norm",
    rules.along: "_softmax _safe_softmax _log_softmax cumsum cumprod sort argsort logcumsumexp",
    rules.top: "topk",
    rules.transformed: "_fft_r2c _fft_c2r _fft_c2c",
    rules.reduced: "mean sum amax amin max min argmax argmin prod any all logsumexp "
    "count_nonzero var var_mean std std_mean nansum median",
    rules.norm: "linalg_vector_norm norm",
    rules.glu: "glu",
    rules.cut: "slice",
    rules.select: "select",
    rules.flip: "flip",
    rules.roll: "roll",
    rules.pad: "constant_pad_nd",
    rules.repeat: "repeat",
    rules.chosen: "index_select",
    rules.indexed: "index _unsafe_index",
    rules.unfold: "unfold",
    rules.im2col: "im2col",
    rules.pixel_shuffle: "pixel_shuffle",
    rules.pixel_unshuffle: "pixel_unshuffle",
    rules.channel_shuffle: "channel_shuffle native_channel_shuffle",
    rules.view: "view _unsafe_view reshape _reshape_alias view_as_real view_as_complex",
    rules.unsqueeze: "unsqueeze",
    rules.squeeze: "squeeze",
    rules.permute: "permute",
    rules.transpose: "transpose t",
    rules.expand: "expand",
    rules.restrided: "as_strided",
    rules.recurrent: "mkldnn_rnn_layer",
    rules.encoder: "_native_multi_head_attention _transformer_encoder_layer_fwd",
}

_SEVERAL: dict[FieldRule, str] = {
    _pointwise: "clone _to_copy contiguous lift_fresh where masked_fill _prelu_kernel "
    "hardswish gelu mish threshold lt le gt ge eq ne tril triu conj_physical "
    "log_sigmoid_forward complex polar _conj resolve_conj max.other min.other",
    _filled: "copy fill",
    _constant: "empty_like zeros_like ones_like full_like rand_like randn_like new_empty new_zeros "
    "new_ones new_full new_empty_strided zero bernoulli uniform normal random randint_like",
    _cat: "cat",
    _stack: "stack",
    _product: "mm bmm mv dot vdot matmul",
    _added_product: "addmm baddbmm addmv _addmm_activation",
    _linear: "linear mkldnn_linear",
    _attention: "_scaled_dot_product_flash_attention _scaled_dot_product_flash_attention_for_cpu "
    "_scaled_dot_product_efficient_attention _scaled_dot_product_cudnn_attention "
    "_scaled_dot_product_fused_attention_overrideable",
    _unbind: "unbind",
    _split: "split split_with_sizes unsafe_split unsafe_split_with_sizes split_with_sizes_copy",
}

FIELD_RULES: dict[str, FieldRule] = {
    **{name: _of_one(rule) for name, rule in _spatial()},
    **{name: _of_one(rule) for rule, names in _ONE.items() for name in names.split()},
    **{name: rule for rule, names in _SEVERAL.items() for name in names.split()},
}


def field_rule(operator: OpOverload) -> FieldRule | None:
    """The rule of an operator, ``None`` if what it reads is not known."""
    space, _, name = operators.full_name(operator).partition("::")
    base, _, overload = name.partition(".")
    # What was turned in place is seen only as it is afterwards.
    if space != "aten" or "out" in overload or torch.Tag.inplace_view in operator.tags:
        return None
    plain = base.removesuffix("_")
    # "max" of two tensors is another operator than "max" along an axis.
    for key in (name, f"{plain}.{overload}", base, plain):
        if key in FIELD_RULES:
            return FIELD_RULES[key]
    return _pointwise if torch.Tag.pointwise in operator.tags else None
