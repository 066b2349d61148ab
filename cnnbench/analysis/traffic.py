"""Operators that only move elements, and the bytes of those that do not move all they are given.

A gather addresses the rows that it picks, not the table; allocating writes nothing; what is
overwritten is not read. Counted are elements addressed, before any cache.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from torch import Tensor

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    # (result, arguments) -> bytes read, bytes written
    Traffic = Callable[[Any, Sequence[Any]], tuple[int, int]]


def addressed(items: Iterable[Any]) -> int:
    """Bytes of the tensors among arguments or results, one list deep."""
    total = 0
    for item in items:
        if isinstance(item, Tensor):
            # An expanded tensor addresses more elements than it has.
            total += min(item.nbytes, item.untyped_storage().nbytes())
        elif type(item) in (list, tuple):
            total += addressed(item)
    return total


def _nothing(out: Any, arguments: Sequence[Any]) -> tuple[int, int]:
    del out, arguments
    return 0, 0


def _filled(out: Any, arguments: Sequence[Any]) -> tuple[int, int]:
    """Written whatever was there before."""
    return addressed(arguments[1:]), addressed((out,))


def _picked(out: Any, arguments: Sequence[Any]) -> tuple[int, int]:
    """As many elements of the first argument as there are results, and the indices."""
    return out.nbytes + addressed(arguments[1:]), out.nbytes


def _bags(out: Any, arguments: Sequence[Any]) -> tuple[int, int]:
    weight, indices = arguments[:2]
    rows = indices.numel() * weight.shape[-1] * weight.itemsize
    return rows + addressed(arguments[1:]), addressed(out)


def _placed(out: Any, arguments: Sequence[Any]) -> tuple[int, int]:
    """Values put at some positions of a tensor: a value is as large as what it overwrites."""
    given = [item for item in arguments[1:] if isinstance(item, Tensor)]
    values = given[-1] if given else out
    count = values.numel() if values.dtype == out.dtype else given[0].numel()
    return addressed(arguments[1:]), count * out.itemsize


def _added(out: Any, arguments: Sequence[Any]) -> tuple[int, int]:
    """The same where values are added to what is there."""
    read, written = _placed(out, arguments)
    return read + written, written


# By operator without overload; names that end in "_" work in place.
TRAFFIC: dict[str, Traffic] = {
    f"aten::{name}": traffic
    for traffic, names in (
        (_nothing, "empty empty_like empty_strided empty_permuted new_empty new_empty_strided"
                   " resize_ resize_as_ set_ lift_fresh is_same_size"),
        (_filled, "zeros_like ones_like full_like rand_like randn_like randint_like new_zeros"
                  " new_ones new_full fill fill_ zero zero_ uniform_ normal_ bernoulli_ random_"
                  " exponential_ geometric_ log_normal_ cauchy_ copy copy_"),
        (_picked, "embedding index_select gather take index _unsafe_index masked_select"),
        (_bags, "_embedding_bag _embedding_bag_forward_only"),
        (_placed, "scatter_ index_copy_"),
        (_added, "scatter_add_ index_add_"),
    )
    for name in names.split()
}  # fmt: skip

# Operators that only move or create elements, in place or not.
MOVING = (
    # creates
    "empty", "empty_strided", "empty_like", "zeros", "zeros_like", "ones", "ones_like", "full",
    "full_like", "arange", "linspace", "eye", "scalar_tensor", "rand", "randn", "rand_like",
    "randn_like", "randint", "randperm", "normal", "uniform", "random", "new_empty", "new_zeros",
    "new_ones", "new_full", "new_empty_strided", "tril_indices", "triu_indices", "lift_fresh",
    "fill", "zero", "_efficientzerotensor",
    # moves
    "clone", "copy", "_to_copy", "cat", "stack", "roll", "flip", "constant_pad_nd", "repeat",
    "reflection_pad1d", "reflection_pad2d", "reflection_pad3d", "replication_pad1d",
    "replication_pad2d", "replication_pad3d", "reflection_pad2d_backward",
    "replication_pad2d_backward", "pixel_shuffle", "pixel_unshuffle", "native_channel_shuffle",
    "channel_shuffle", "im2col", "col2im", "tril", "triu", "where", "masked_fill", "index",
    "index_select", "index_put", "_index_put_impl", "index_add", "index_copy", "gather",
    "scatter", "scatter_add", "masked_select", "masked_scatter", "nonzero", "sort", "topk",
    "embedding", "embedding_dense_backward", "as_strided", "resize_as",
    "select_backward", "slice_backward",
    "select_scatter", "slice_scatter", "unfold_backward", "unique_dim", "_unique2",
    "repeat_interleave", "resize", "set", "take", "one_hot", "_local_scalar_dense", "bucketize",
    "_unsafe_index", "split_with_sizes_copy", "max_unpool2d",
    "value_selecting_reduction_backward", "_assert_async", "equal", "is_same_size",
    "_linalg_check_errors", "_cudnn_rnn_flatten_weight", "mkldnn_reorder_conv2d_weight",
    "mkldnn_reorder_conv3d_weight", "empty_permuted", "_make_dep_token",
)  # fmt: skip
