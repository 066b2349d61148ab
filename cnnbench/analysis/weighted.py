"""Depth in weighted layers: convolutions and products with weights on the longest path.

A path leads from the input through what operators read to what they write. The projection of a
shortcut lies beside the block that it bridges, which is longer, so it does not count. A recurrent
module has the depth of its layers, whatever the number of steps; its directions lie side by side.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import nn

from cnnbench.analysis import packed

if TYPE_CHECKING:
    from collections.abc import Container, Mapping, Sequence

    from cnnbench.analysis.passes import Recording
    from cnnbench.analysis.trace import Raw

# Layers with weights whatever their operands are. Fused kernels hold several in a row: attention
# its projections in and out, an encoder layer two more.
_LAYERS = {
    "aten::convolution": 1,
    "aten::_convolution": 1,
    "aten::convolution_overrideable": 1,
    "aten::conv_tbc": 1,
    "torchvision::deform_conv2d": 1,
    "aten::_trilinear": 1,
    "aten::mkldnn_rnn_layer": 1,
    "aten::_cudnn_rnn": 1,
    "aten::_native_multi_head_attention": 2,
    "aten::_transformer_encoder_layer_fwd": 4,
    **dict.fromkeys(packed.COUNTS, 1),
}
# Where the two factors of a product stand among the tensors that it reads.
_FACTORS = {
    "aten::mm": slice(0, 2),
    "aten::bmm": slice(0, 2),
    "aten::mv": slice(0, 2),
    "aten::linear": slice(0, 2),
    "aten::mkldnn_linear": slice(0, 2),
    "aten::addmm": slice(1, 3),
    "aten::addmv": slice(1, 3),
    "aten::addbmm": slice(1, 3),
    "aten::baddbmm": slice(1, 3),
    "aten::_addmm_activation": slice(1, 3),
}


def depth(recording: Recording) -> int:
    """The number of weighted layers on the longest path of the forward pass."""
    # Storage -> layers before it, of what depends on the input; weights do not.
    before = {view.key: 0 for view, _ in recording.inputs}
    deepest, steps = 0, _Steps(recording.stack.modules)
    for row in recording.rows:
        if row.backward:
            continue
        for key in row.unseen:
            before.pop(key, None)
        read = [before[key] for key in row.reads if key in before]
        if read:
            now = steps.limited(row, before, max(read) + _layers(row, before))
            before.update(dict.fromkeys(row.writes, now))
            deepest = max(deepest, now)
        else:
            # A storage that is gone may have had the same key.
            for key in row.writes:
                before.pop(key, None)
    return deepest


class _Steps:
    """Limits the depth inside of recurrent modules, which apply the same weights at each step.

    Rows that follow each other in one module are taken for one call.
    """

    def __init__(self, modules: Sequence[nn.Module]) -> None:
        self._modules = modules
        self._place, self._entry = -1, 0
        self._own: set[int] = set()

    def limited(self, row: Raw, before: Mapping[int, int], now: int) -> int:
        """The layers before a row's results, of which the module has no more than its own."""
        if row.layer != self._place:
            self._place, self._entry, self._own = row.layer, 0, set()
        module = self._modules[row.layer]
        if not isinstance(module, nn.RNNBase):
            return now
        given = [before[key] for key in row.reads if key in before and key not in self._own]
        self._entry = max([self._entry, *given])
        self._own.update(row.writes)
        return min(now, self._entry + module.num_layers)


def _layers(row: Raw, dependent: Container[int]) -> int:
    name = row.plan.name.partition(".")[0]
    if name in _FACTORS:
        return int(any(key not in dependent for key in row.reads[_FACTORS[name]]))
    return _LAYERS.get(row.plan.name, _LAYERS.get(name, 0))
