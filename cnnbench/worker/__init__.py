"""The process that measures.

Builds, warms up, checks, samples. Speaks JSON on a channel of its own.

Everything here may import torch. It uses the torch-free values ``spec``, ``record``, ``errors``,
``channel`` and ``machine``, and on the torch side ``architectures`` and ``analysis``; it never
starts processes except by forking itself.
"""
