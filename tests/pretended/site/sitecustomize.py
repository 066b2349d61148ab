"""Pretends a CUDA device in every process that has this folder on its path, once torch is there."""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import sys


class _AfterTorch(importlib.abc.MetaPathFinder):
    """Finds torch as usual, and lets the pretended device in when it has been imported."""

    def find_spec(self, name, path=None, target=None):
        if name != "torch":
            return None
        sys.meta_path.remove(self)
        spec = importlib.machinery.PathFinder.find_spec(name, path, target)
        if spec is not None and spec.loader is not None:
            run = spec.loader.exec_module

            def exec_module(module):
                run(module)
                import pretended_cuda

                pretended_cuda.install(module)

            spec.loader.exec_module = exec_module
        return spec


sys.meta_path.insert(0, _AfterTorch())
