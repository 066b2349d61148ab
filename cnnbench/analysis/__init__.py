"""The static analyser: what a network costs, counted on the meta device without running it.

    with without_collector():
        module = build_on_meta(lambda: models.resnet50(weights=None))
        analysis = analyze(module, (torch.empty(8, 3, 224, 224, device="meta"),), own=True)
    analysis.macs, analysis.memory.peak, analysis.layers, analysis.uncounted

One dispatch pass (``trace``) over one table of operators (``rules``); ``shapes`` answers in place
of slow meta kernels, ``liveness`` follows storages, ``modules`` knows which layer runs, and
``layers`` and ``result`` make tables of it. Knows nothing of architectures, benchmarks or text.
"""

from cnnbench.analysis.analyse import analyze, countable
from cnnbench.analysis.calls import calls
from cnnbench.analysis.convolutions import Convolution, convolutions
from cnnbench.analysis.failures import WrongInput, remedy
from cnnbench.analysis.foreign import apart
from cnnbench.analysis.meta import build_on_meta, copy_to_meta, without_collector
from cnnbench.analysis.modules import has_one_mode, set_training
from cnnbench.analysis.optimizers import checked as optimizer
from cnnbench.analysis.result import Analysis
from cnnbench.analysis.rules import register_rule

__all__ = [
    "Analysis",
    "Convolution",
    "WrongInput",
    "analyze",
    "apart",
    "build_on_meta",
    "calls",
    "convolutions",
    "copy_to_meta",
    "countable",
    "has_one_mode",
    "optimizer",
    "register_rule",
    "remedy",
    "set_training",
    "without_collector",
]
