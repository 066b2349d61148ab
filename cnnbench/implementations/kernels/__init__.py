"""Kernels of our own in Triton; importing one of these modules imports Triton.

They are readable references, not meant to be the fastest. Each describes its computation in the
terms of its algorithm. They know nothing of problems, modes or records.
"""
