"""Convolutions, each computed in many ways: one file per algorithm, one table of them.

``implementation(name)`` gives a value with a rule of applicability, exact formulas, a preparation
of weights that is timed apart, and the function itself. Knows nothing of benchmarks or modes.
"""

from cnnbench.implementations.implementation import DTYPES, Implementation, Prepared
from cnnbench.implementations.registry import IMPLEMENTATIONS, implementation

__all__ = ["DTYPES", "IMPLEMENTATIONS", "Implementation", "Prepared", "implementation"]
