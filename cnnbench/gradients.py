"""How large the gradients of a network's layers are at its first step.

Values only: knows nothing of how they were taken, nor of tables.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class LayerGradient:
    """The gradient of one layer's weights.

    Attributes:
        layer: path of the module, and behind a dot of the parameter where that is not its weight.
        type: class name of the module.
        elements: of the weights.
        norm: Euclidean norm of the gradient of all elements.
        weight_norm: the same of the weights themselves.
    """

    layer: str
    type: str
    elements: int
    norm: float
    weight_norm: float

    @property
    def relative(self) -> float | None:
        """The gradient's norm over that of the weights; ``None`` where all weights are zero."""
        return self.norm / self.weight_norm if self.weight_norm else None


@dataclass(frozen=True)
class Gradients:
    """The gradients of a network in one training step at initialisation.

    Attributes:
        name: of the network.
        batch: samples.
        seed: of weights, inputs and targets.
        input: shape of one sample.
        loss: what was minimised, in words.
        layers: in the order in which the forward pass reaches them.
    """

    name: str
    batch: int
    seed: int
    input: tuple[int, ...]
    loss: str
    layers: tuple[LayerGradient, ...]

    @property
    def span(self) -> float | None:
        """The largest norm over the smallest that is not zero; ``None`` without any."""
        norms = [one.norm for one in self.layers if one.norm]
        return max(norms) / min(norms) if norms else None
