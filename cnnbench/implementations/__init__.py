"""Implementations of convolutions: one file per algorithm, one table of them.

``implementation(name)`` returns a value with a rule of applicability, exact formulas, a separately
timed preparation of weights, and the function itself. Knows nothing of benchmarks or modes.
"""

from cnnbench.implementations.implementation import DTYPES, Implementation, Prepared
from cnnbench.implementations.registry import IMPLEMENTATIONS, implementation

__all__ = ["DTYPES", "IMPLEMENTATIONS", "Implementation", "Prepared", "implementation"]
