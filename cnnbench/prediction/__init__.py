"""The latency of networks from the times of their operators, without running the networks.

``operators`` is an operator's call as a value, ``table`` what has been timed on a machine and the
file of it, ``model`` what a sum of such times misses, fitted on networks that were measured. Values
and arithmetic only: timing and tracing are on the other side of the process border.
"""
