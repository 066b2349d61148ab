"""Convolutions: implementations of one layer, what could stand in its place, kernels of our own."""
