"""Convolutions without torch: a layer as a value, what is known of its implementations, results."""
