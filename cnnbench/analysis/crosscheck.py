"""Our MACs compared with torch's FlopCounterMode and fvcore, each difference explained by operator.

torch's counter runs on a meta twin, fvcore on a real one (its tracer needs values). Writes no text
except the reasons.
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_map_only

from cnnbench.analysis.meta import copy_real, copy_to_meta, on_meta
from cnnbench.costs import CrossCheck, CrosscheckDifference
from cnnbench.errors import Unsupported

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import nn

    from cnnbench.analysis.result import Analysis


# Groups of contraction operators: the name that each tool uses for what it counts. Matrix products
# form one group, because a layer may reach torch as linear, addmm, mm or bmm.
_GROUPS = {
    "convolution": "convolution",
    "_convolution": "convolution",
    "conv": "convolution",
    "convolution_overrideable": "convolution",
    "mkldnn_rnn_layer": "recurrent",
    "lstm": "recurrent",
    "deform_conv2d": "deformable convolution",
    "_trilinear": "bilinear",
    "batch_norm": "norm",
    "layer_norm": "norm",
    "group_norm": "norm",
    "instance_norm": "norm",
    "adaptive_avg_pool1d": "pooling",
    "adaptive_avg_pool2d": "pooling",
    "adaptive_avg_pool3d": "pooling",
    "upsample_bilinear2d": "resize",
    "upsample_nearest2d": "resize",
    "grid_sampler": "resize",
}
_PRODUCTS = "matrix products and attention"

_REASONS = {
    "norm": "counts normalisation as multiply-accumulates",
    "pooling": "counts pooling as multiply-accumulates",
    "resize": "counts interpolation as multiply-accumulates",
    "deformable convolution": "has no rule for deformable convolution",
    "bilinear": "has no rule for bilinear layers",
    "recurrent": "has no rule for fused recurrent layers",
    "convolution": "does not see convolutions that pad by name ('same', 'valid')",
    _PRODUCTS: "has no rule for some products (fused attention, matrix times vector)",
}


def _grouped(counts: Mapping[str, int]) -> dict[str, int]:
    groups: dict[str, int] = {}
    for name, macs in counts.items():
        group = _GROUPS.get(name, _PRODUCTS)
        groups[group] = groups.get(group, 0) + macs
    return groups


def _ours(analysis: Analysis) -> dict[str, int]:
    counts: dict[str, int] = {}
    for row in analysis.ops:
        if row.direction == "forward" and row.macs:
            name = row.name.split(".")[1]
            counts[name] = counts.get(name, 0) + row.macs
    return counts


def _compared(tool: str, analysis: Analysis, theirs: Mapping[str, int]) -> CrossCheck:
    ours_by_group, theirs_by_group = _grouped(_ours(analysis)), _grouped(theirs)
    differences = tuple(
        CrosscheckDifference(group, mine, other, _reason(group, mine, other))
        for group in sorted({*ours_by_group, *theirs_by_group})
        if (mine := ours_by_group.get(group, 0)) != (other := theirs_by_group.get(group, 0))
    )
    return CrossCheck(tool, sum(ours_by_group.values()), sum(theirs.values()), differences)


def _reason(group: str, ours: int, theirs: int) -> str:
    # Every reason except the element-wise ones explains a count that is too small.
    elementwise = group in ("norm", "pooling", "resize")
    if elementwise or theirs < ours:
        return _REASONS[group]
    return "counts more than the contraction"


def against_torch(
    module: nn.Module,
    inputs: tuple[Any, ...],
    analysis: Analysis,
    kwargs: Mapping[str, Any] | None = None,
) -> CrossCheck:
    """Compare with ``torch.utils.flop_counter.FlopCounterMode`` on meta (its FLOPs halved).

    Args:
        module: what ``analysis`` was made of; left as it is.
        inputs: the same inputs.
        analysis: an inference analysis of them.
        kwargs: the same keyword arguments.
    """
    from torch.utils.flop_counter import FlopCounterMode

    twin = copy_to_meta(module).eval()
    counter = FlopCounterMode(display=False)
    try:
        with torch.no_grad(), counter:
            args, named = tree_map_only(Tensor, on_meta, (tuple(inputs), dict(kwargs or {})))
            twin(*args, **named)
    except (RuntimeError, NotImplementedError) as error:
        raise Unsupported(f"torch's FlopCounterMode cannot run this network: {error}") from error
    flops = counter.get_flop_counts().get("Global", {})
    theirs = {str(name).rpartition(".")[2]: count // 2 for name, count in flops.items()}
    return _compared(f"torch {torch.__version__} FlopCounterMode", analysis, theirs)


def against_fvcore(
    module: nn.Module,
    inputs: tuple[Any, ...],
    analysis: Analysis,
    kwargs: Mapping[str, Any] | None = None,
) -> CrossCheck:
    """Compare with fvcore's FlopCountAnalysis on real tensors (its "flops" are MACs).

    Args:
        module: a module with real weights; left as it is.
        inputs: real inputs.
        analysis: an inference analysis of them.
        kwargs: the same keyword arguments.

    Raises:
        Unsupported: fvcore is not installed, or its tracer cannot run the network.
    """
    if kwargs:
        raise Unsupported("fvcore takes no keyword arguments of a network")
    with warnings.catch_warnings():
        # Importing it scripts functions, for which torch >= 2.14 emits deprecation warnings.
        warnings.simplefilter("ignore")
        try:
            import fvcore
            from fvcore.nn import FlopCountAnalysis
        except ImportError as error:
            raise Unsupported("fvcore is not installed: pip install fvcore") from error
        counter = FlopCountAnalysis(copy_real(module).eval(), inputs)
        counter.unsupported_ops_warnings(enabled=False).uncalled_modules_warnings(enabled=False)
        try:
            counts = {name: int(count) for name, count in counter.by_operator().items()}
        except (RuntimeError, NotImplementedError, TypeError, ValueError) as error:
            raise Unsupported(f"fvcore cannot trace this network: {error}") from error
    return _compared(f"fvcore {fvcore.__version__}", analysis, counts)
