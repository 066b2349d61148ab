"""Kernels of our own in Triton; importing one of these modules imports Triton.

Readable references, not contenders for the fastest: each says what it computes in the words of its
algorithm. They know nothing of problems, modes or records.
"""
