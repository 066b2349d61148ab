"""The process that measures.

It builds, warms up, checks and samples, and exchanges JSON messages over its own channel.

Everything here may import torch. It uses the torch-free values ``spec``, ``record``, ``errors``,
``channel`` and ``machine``, and on the torch side ``architectures`` and ``analysis``; it never
starts processes except by forking itself.
"""
