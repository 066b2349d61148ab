"""What is kept of a measurement: environment, cost, runs, failure; frozen values that know nothing of files or tables.

Inside, times are integer nanoseconds as the clock gave them, sizes are bytes, counts are counts. Statistics are computed
on reading (``stats``, ``metrics``), never stored.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Cost:
    """The static facts of a workload, known without running it.

    Totals are for the whole batch. ``macs`` counts the multiply-accumulates of contractions in one forward pass in
    inference form; ``training_macs`` counts forward and backward. ``None`` means "not known to the method", never zero.

    Attributes:
        params: elements of all parameters, each counted once by identity, auxiliary heads included.
        trainable_params: those with ``requires_grad``.
        buffers: elements of all buffers.
        param_bytes, buffer_bytes, input_bytes: their sizes.
        macs: multiply-accumulates of contractions, forward.
        training_macs: the same for forward and backward.
        bias_adds: additions of biases, the difference to "mult-adds" as torchinfo and lectures print them.
        elementwise_flops: FLOPs of the rest by class (norm, activation, pooling, resize).
        activation_peak_bytes: predicted peak of live activations.
        memory_peak_bytes: predicted peak including parameters, buffers and input (training: gradients, optimiser).
        uncounted: operators without a rule and how often they were called; non-empty means the totals may be short.
        auxiliary_params: parameters the inference pass does not read (auxiliary heads), included in ``params``.
        macs_per_item: data-dependent networks (detection): MACs that each kept item adds, by layer; ``macs`` is then the
            static part alone.
        assumptions: sentences on what was assumed where the network's values would decide.
        method: who counted.
    """

    params: int
    trainable_params: int
    buffers: int
    param_bytes: int
    buffer_bytes: int
    input_bytes: int
    macs: int
    method: str
    training_macs: int | None = None
    bias_adds: int | None = None
    elementwise_flops: Mapping[str, int] | None = None
    activation_peak_bytes: int | None = None
    memory_peak_bytes: int | None = None
    uncounted: Mapping[str, int] = field(default_factory=dict)
    auxiliary_params: int | None = None
    macs_per_item: Mapping[str, int] = field(default_factory=dict)
    assumptions: tuple[str, ...] = ()

    @property
    def flops(self) -> int:
        """Floating-point operations of the contractions: two per multiply-accumulate."""
        return 2 * self.macs
