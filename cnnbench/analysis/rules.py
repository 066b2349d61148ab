"""The one table of operators: what each is, what it costs, and a fast rule for its shape.

Keys are operator names without overload (``aten::add`` also stands for ``aten::add_``), or with one
where overloads differ. Operators torch tags as pointwise need no row. An operator without a rule
that may multiply, going by its name or because it is not torch's own, is *uncounted* and
reported by name.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cnnbench.analysis import counts, elementwise, layer_shapes, operators, packed, shapes
from cnnbench.analysis.elementwise import per_input, per_result
from cnnbench.analysis.traffic import MOVING

if TYPE_CHECKING:
    from torch._ops import OpOverload

# The kinds of operators; the middle group is the classes of element-wise FLOPs.
KINDS = {
    "contraction": "convolutions, matrix products, attention: has MACs",
    "norm": "batch, layer, group and instance norm",
    "activation": "non-linearities, softmax, dropout",
    "pooling": "maximum, average and adaptive pooling, means over axes",
    "resize": "interpolation and grid sampling",
    "arithmetic": "element-wise arithmetic, comparisons, reductions",
    "data": "moves or creates elements, computes nothing",
    "view": "another look at the same storage",
    "unknown": "no rule: not in any total",
}


@dataclass(frozen=True, slots=True)
class Rule:
    """One row of the table.

    Attributes:
        kind: a key of ``KINDS``.
        macs: ``(result, *arguments) -> MACs``.
        bias: ``(result, *arguments) -> additions of a bias``.
        flops: ``(result, *arguments) -> element-wise FLOPs``.
        shape: returns the result on meta without torch's meta kernel, or ``NotImplemented`` where
            it is not certain.
    """

    kind: str
    macs: Callable[..., int] | None = None
    bias: Callable[..., int] | None = None
    flops: Callable[..., int] | None = None
    shape: Callable[..., Any] | None = None


def _bias_of_convolution(out: Any, source: Any, weight: Any, bias: Any = None, /, *_: Any) -> int:
    del source, weight
    return out.numel() if bias is not None else 0


def _bias_of_addmm(out: Any, /, *_: Any, beta: float = 1, **__: Any) -> int:
    return out.numel() if beta else 0


def _bias_of_deformable(
    out: Any, source: Any, weight: Any, offset: Any, mask: Any, bias: Any, /, *_: Any
) -> int:
    del source, weight, offset, mask
    # torchvision always passes a bias; if there is none it passes zeros and still adds them
    return out.numel() if bias is not None else 0


_CONTRACTIONS = {
    "aten::convolution": Rule(
        "contraction", counts.convolution, _bias_of_convolution, shape=layer_shapes.convolution
    ),
    "aten::convolution_overrideable": Rule("contraction", counts.convolution, _bias_of_convolution),
    "aten::_convolution": Rule("contraction", counts.convolution, _bias_of_convolution),
    "aten::convolution_backward": Rule(
        "contraction", counts.convolution_backward, shape=layer_shapes.convolution_backward
    ),
    "aten::mm": Rule("contraction", counts.mm, shape=shapes.mm),
    "aten::bmm": Rule("contraction", counts.mm, shape=shapes.bmm),
    "aten::mv": Rule("contraction", counts.mm),
    "aten::_int_mm": Rule("contraction", counts.mm),
    "aten::_scaled_mm": Rule("contraction", counts.mm),
    "aten::dot": Rule("contraction", counts.dot),
    "aten::vdot": Rule("contraction", counts.dot),
    "aten::addmm": Rule("contraction", counts.addmm, _bias_of_addmm, shape=shapes.addmm),
    "aten::_addmm_activation": Rule("contraction", counts.addmm, _bias_of_addmm),
    "aten::baddbmm": Rule("contraction", counts.addmm, _bias_of_addmm),
    "aten::addmv": Rule("contraction", counts.addmm, _bias_of_addmm),
    "aten::addbmm": Rule("contraction", counts.addbmm, _bias_of_addmm),
    "aten::addr": Rule("contraction", per_result(1)),
    "aten::linear": Rule("contraction", counts.linear, _bias_of_convolution),
    "aten::mkldnn_linear": Rule("contraction", counts.linear, _bias_of_convolution),
    "aten::_euclidean_dist": Rule("contraction", counts.distances),
    "aten::_trilinear": Rule("contraction", counts.trilinear),
    "aten::_native_multi_head_attention": Rule("contraction", counts.native_attention),
    "aten::_transformer_encoder_layer_fwd": Rule("contraction", counts.encoder_layer),
    "aten::mkldnn_rnn_layer": Rule("contraction", counts.recurrent),
    "aten::_cudnn_rnn": Rule("contraction", counts.cudnn_recurrent),
    "aten::mkldnn_rnn_layer_backward": Rule("contraction", counts.recurrent_backward),
    "aten::_cudnn_rnn_backward": Rule("contraction", counts.cudnn_recurrent_backward),
    "aten::conv_tbc": Rule("contraction", counts.time_batch_channels, per_result(1)),
    "aten::_cdist_forward": Rule("contraction", counts.distances),
    "aten::_cdist_backward": Rule("contraction", counts.distances_backward),
    "aten::affine_grid_generator": Rule("contraction", counts.affine_grid),
    **{name: Rule("contraction", count) for name, count in packed.COUNTS.items()},
    "torchvision::deform_conv2d": Rule("contraction", counts.deformable, _bias_of_deformable),
    "torchvision::_deform_conv2d_backward": Rule("contraction", counts.deformable_backward),
}

_ATTENTION = (
    "flash_attention",
    "flash_attention_for_cpu",
    "efficient_attention",
    "cudnn_attention",
    "fused_attention_overrideable",
)

_BATCH_NORMS = (
    "native_batch_norm",
    "_native_batch_norm_legit",
    "_native_batch_norm_legit_functional",
    "_native_batch_norm_legit_no_training",
    "_batch_norm_with_update",
    "_batch_norm_no_update",
    "cudnn_batch_norm",
    "miopen_batch_norm",
)
_NORMS = {
    **{
        f"aten::{name}": Rule("norm", flops=elementwise.batch_norm, shape=layer_shapes.batch_norm)
        for name in _BATCH_NORMS[:1]
    },
    **{f"aten::{name}": Rule("norm", flops=elementwise.batch_norm) for name in _BATCH_NORMS[1:]},
    "aten::native_layer_norm": Rule(
        "norm", flops=elementwise.layer_norm, shape=layer_shapes.layer_norm
    ),
    "aten::native_group_norm": Rule("norm", flops=elementwise.layer_norm),
    "aten::_fused_rms_norm": Rule("norm", flops=per_input(4)),
    "aten::native_batch_norm_backward": Rule(
        "norm", flops=per_result(14), shape=layer_shapes.batch_norm_backward
    ),
    "aten::cudnn_batch_norm_backward": Rule("norm", flops=per_result(14)),
    "aten::batch_norm_backward": Rule("norm", flops=per_result(14)),
    "aten::native_layer_norm_backward": Rule("norm", flops=per_result(14)),
    "aten::_weight_norm_interface": Rule("norm", flops=per_result(4)),
    "aten::_weight_norm_interface_backward": Rule("norm", flops=per_result(8)),
    "aten::native_group_norm_backward": Rule("norm", flops=per_result(14)),
}

# FLOPs per element; the second column says whether the shape rule for pointwise functions applies.
_ACTIVATION_COSTS = {
    "relu": 1,
    "threshold": 1,
    "leaky_relu": 2,
    "_prelu_kernel": 2,
    "hardtanh": 2,
    "clamp": 2,
    "clamp_min": 1,
    "hardsigmoid": 4,
    "hardswish": 5,
    "sigmoid": 4,
    "silu": 5,
    "tanh": 1,
    "gelu": 5,
    "elu": 3,
    "softplus": 3,
    "mish": 5,
    "log_sigmoid_forward": 4,
}
_WITHOUT_SHAPE = {"threshold", "_prelu_kernel", "log_sigmoid_forward", "elu", "softplus", "mish"}
_ACTIVATIONS = {
    **{
        f"aten::{name}": Rule(
            "activation",
            flops=per_result(cost),
            shape=None if name in _WITHOUT_SHAPE else shapes.pointwise,
        )
        for name, cost in _ACTIVATION_COSTS.items()
    },
    **{
        f"aten::{name}_backward": Rule("activation", flops=per_result(cost))
        for name, cost in _ACTIVATION_COSTS.items()
    },
    "aten::threshold_backward": Rule(
        "activation", flops=per_result(1), shape=shapes.pointwise_backward
    ),
    "aten::_softmax": Rule("activation", flops=per_result(5)),
    "aten::_safe_softmax": Rule("activation", flops=per_result(5)),
    "aten::_log_softmax": Rule("activation", flops=per_result(5)),
    "aten::_softmax_backward_data": Rule("activation", flops=per_result(4)),
    "aten::_log_softmax_backward_data": Rule("activation", flops=per_result(4)),
    "aten::native_dropout": Rule("activation", flops=per_result(2)),
    "aten::native_dropout_backward": Rule("activation", flops=per_result(2)),
    "aten::bernoulli": Rule("activation", flops=per_result(1)),
    "aten::glu": Rule("activation", flops=per_result(5)),
    "aten::_thnn_fused_lstm_cell": Rule("activation", flops=per_result(20)),
    "aten::_thnn_fused_gru_cell": Rule("activation", flops=per_result(15)),
    "aten::_thnn_fused_lstm_cell_backward_impl": Rule("activation", flops=per_result(20)),
    "aten::_thnn_fused_gru_cell_backward": Rule("activation", flops=per_result(15)),
}

_POOLINGS = {
    **{
        f"aten::max_pool{n}d_with_indices": Rule("pooling", flops=elementwise.maximum)
        for n in (2, 3)
    },
    **{f"aten::avg_pool{n}d": Rule("pooling", flops=elementwise.window) for n in (1, 2, 3)},
    "aten::max_pool1d": Rule("pooling", flops=elementwise.maximum),
    "aten::mean": Rule("pooling", flops=elementwise.averaged),
    "aten::mean.dim": Rule("pooling", flops=elementwise.averaged, shape=shapes.mean),
    **{
        f"aten::{name}": Rule("pooling", flops=elementwise.averaged)
        for name in (
            "_adaptive_avg_pool2d",
            "_adaptive_avg_pool3d",
            "adaptive_max_pool2d",
            "adaptive_max_pool3d",
            "fractional_max_pool2d",
        )
    },
    **{
        f"aten::{name}_backward": Rule("pooling", flops=per_result(1))
        for name in (
            "max_pool2d_with_indices",
            "max_pool3d_with_indices",
            "avg_pool2d",
            "avg_pool3d",
            "_adaptive_avg_pool2d",
            "_adaptive_avg_pool3d",
            "adaptive_max_pool2d",
            "adaptive_max_pool3d",
        )
    },
    "torchvision::roi_align": Rule("pooling", flops=per_result(7)),
    "torchvision::ps_roi_align": Rule("pooling", flops=per_result(7)),
    "torchvision::roi_pool": Rule("pooling", flops=per_result(1)),
}

# FLOPs per result: linear interpolation is a weighted sum of 2 per axis, cubic of 4 per axis.
_RESIZE_COSTS = {
    "upsample_nearest1d": 0,
    "upsample_nearest2d": 0,
    "upsample_nearest3d": 0,
    "_upsample_nearest_exact1d": 0,
    "_upsample_nearest_exact2d": 0,
    "_upsample_nearest_exact3d": 0,
    "upsample_linear1d": 3,
    "upsample_bilinear2d": 7,
    "_upsample_bilinear2d_aa": 7,
    "upsample_bicubic2d": 31,
    "_upsample_bicubic2d_aa": 31,
    "upsample_trilinear3d": 15,
    "grid_sampler_2d": 7,
    "grid_sampler_3d": 15,
}
_RESIZES = {
    f"aten::{name}{suffix}": Rule("resize", flops=per_result(cost))
    for name, cost in _RESIZE_COSTS.items()
    for suffix in ("", "_backward")
}

_BINARY = ("add", "sub", "mul", "div")
_ARITHMETIC = {
    **{
        f"aten::{name}.Tensor": Rule("arithmetic", flops=per_result(1), shape=shapes.binary)
        for name in _BINARY
    },
    **{
        f"aten::{name}.Scalar": Rule("arithmetic", flops=per_result(1), shape=shapes.pointwise)
        for name in _BINARY
    },
    **{
        f"aten::{name}.Scalar": Rule("arithmetic", flops=per_result(1), shape=shapes.compared)
        for name in ("eq", "ne", "lt", "le", "gt", "ge")
    },
    "aten::exp": Rule("arithmetic", flops=per_result(1), shape=shapes.pointwise),
    "aten::linalg_vector_norm": Rule("arithmetic", flops=per_input(2), shape=shapes.vector_norm),
    "aten::sum": Rule("arithmetic", flops=per_input(1)),
    "aten::sum.dim_IntList": Rule("arithmetic", flops=per_input(1), shape=shapes.mean),
    **{
        f"aten::{name}": Rule("arithmetic", flops=per_input(1))
        for name in (
            "amax", "amin", "max", "min", "argmax", "argmin", "prod", "any", "all", "cumsum",
            "cumprod", "logsumexp", "count_nonzero", "nll_loss_forward", "nll_loss2d_forward",
            "mse_loss", "binary_cross_entropy_with_logits", "nll_loss_backward",
            "nll_loss2d_backward", "smooth_l1_loss", "aminmax", "huber_loss",
            "binary_cross_entropy", "soft_margin_loss", "multi_margin_loss",
            "multilabel_margin_loss_forward", "_ctc_loss", "nansum", "median", "norm", "dist",
        )
    },
    **{
        f"aten::{name}": Rule("arithmetic", flops=elementwise.transform)
        for name in ("_fft_c2c", "_fft_r2c", "_fft_c2r")
    },
    **{
        f"aten::{name}": Rule("arithmetic", flops=elementwise.bags)
        for name in ("_embedding_bag", "_embedding_bag_forward_only")
    },
    "aten::linalg_cross": Rule("arithmetic", flops=per_result(3)),
    "aten::linalg__powsum": Rule("arithmetic", flops=per_input(2)),
    "aten::var": Rule("arithmetic", flops=per_input(4)),
    "aten::var_mean": Rule("arithmetic", flops=per_input(4)),
    "aten::std": Rule("arithmetic", flops=per_input(4)),
    "torchvision::nms": Rule("arithmetic"),
}  # fmt: skip

_DATA = {f"aten::{name}": Rule("data") for name in MOVING}
_DATA["aten::clone"] = Rule("data", shape=shapes.clone)
_DATA["aten::cat"] = Rule("data", shape=shapes.cat)
_DATA["aten::stack"] = Rule("data", shape=shapes.stack)
_DATA["aten::empty"] = Rule("data", shape=shapes.empty)
_DATA["aten::roll"] = Rule("data", shape=shapes.roll)
# Views that torch hides from autograd, or that it declares without aliasing.
for _name in ("_unsafe_view", "unsafe_split", "unsafe_split_with_sizes", "unsafe_chunk"):
    _DATA[f"aten::{_name}"] = Rule("view")

RULES: dict[str, Rule] = {
    **_CONTRACTIONS,
    **{
        f"aten::_scaled_dot_product_{name}": Rule("contraction", counts.attention)
        for name in _ATTENTION
    },
    **{
        f"aten::_scaled_dot_product_{name}_backward": Rule("contraction", counts.attention_backward)
        for name in _ATTENTION
    },
    **_NORMS,
    **_ACTIVATIONS,
    **_POOLINGS,
    **_RESIZES,
    **_ARITHMETIC,
    **_DATA,
}

_VIEW = Rule("view")
# Pointwise operators, and those of torch's own that cannot multiply.
_POINTWISE = Rule("arithmetic", flops=per_result(1))
UNKNOWN = Rule("unknown")


def register_rule(operator: str | OpOverload, macs: Callable[..., int]) -> None:
    """Register the MACs of a custom operator, for this process.

    Args:
        operator: its name, ``"mylib::my_op"``, or an overload object.
        macs: ``(result, *arguments, **keywords) -> MACs``.

    Raises:
        ValueError: it already has a rule that counts MACs.

    Example: ``register_rule("mylib::my_mm", lambda out, a, b: out.numel() * a.shape[-1])``
    """
    name = (operator if isinstance(operator, str) else operators.full_name(operator)).replace(
        "::", ".", 1
    )
    namespace, _, rest = name.partition(".")
    key = f"{namespace}::{rest.removesuffix('.default')}"
    if key in RULES and RULES[key].macs is not None:
        raise ValueError(f"operator '{key}' already has a rule")
    RULES[key] = Rule("contraction", macs=macs)


def has_shape_rule(operator: OpOverload, rule: Rule) -> bool:
    """Whether the rule's shape function takes this overload's arguments."""
    return rule.shape is not None and operator._overloadname in _PLAIN_OVERLOADS  # noqa: SLF001


# "out" variants and rare overloads take different arguments from the shape rules.
_PLAIN_OVERLOADS = frozenset({"default", "Tensor", "Scalar", "dim", "dim_IntList", "memory_format"})


def rule_for(operator: OpOverload) -> Rule:
    """The rule of an operator; ``UNKNOWN`` if it has none."""
    name = operators.full_name(operator)
    base = name.partition(".")[0]
    # "add_" computes what "add" computes; "_foreach"-like names keep their leading underscore.
    functional = base.removesuffix("_")
    overload = operator._overloadname  # noqa: SLF001
    for key in (name, base, f"{functional}.{overload}", functional):
        if key in RULES:
            return RULES[key]
    if operators.is_view(operator):
        return _VIEW
    return UNKNOWN if operators.may_multiply(operator) else _POINTWISE
