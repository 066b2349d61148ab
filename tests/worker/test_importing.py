"""What workers import, each time in a fresh interpreter."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import pytest

pytestmark = pytest.mark.torch


def told(code: str, **variables: str) -> Any:
    """What a fresh interpreter prints as JSON."""
    without = {key: value for key, value in os.environ.items() if not key.startswith("TORCH")}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True,
        env=without | variables,
    )  # fmt: skip
    return json.loads(done.stdout)


FIRST = "import json, sys; from cnnbench.worker import importing; importing.torchvision(); "


def test_torchvision_comes_without_torchs_compiler() -> None:
    code = FIRST + (
        "loaded = 'torchvision' in sys.modules, 'torch._dynamo.utils' in sys.modules;"
        "print(json.dumps(loaded))"
    )

    assert told(code) == [True, False]


def test_a_starter_begins_without_torchs_compiler_too() -> None:
    code = FIRST + (
        "from cnnbench import architectures; from cnnbench.worker import starter;"
        "architectures.catalogue();"
        "print(json.dumps([one for one in sys.modules if one.startswith('torch._dynamo')]))"
    )

    assert told(code) == []


def test_a_call_is_profiled_without_torchs_compiler() -> None:
    code = FIRST + (
        "from cnnbench.spec import Spec; from cnnbench.worker import build, events, structure;"
        "from cnnbench.worker.devices import Cpu;"
        "step = build.built(Spec.parse('lenet/inference-b1-3x32x32/eager/cpu-t1'), seed=0);"
        "found = events.operators(events.of_call(step.call, Cpu()));"
        "others = [one for one in sys.modules if one.startswith(('torch._dynamo', 'torch._ind'))];"
        "print(json.dumps([found['aten::conv2d'], others]))"
    )

    assert told(code) == [2, []]


def test_what_torch_imports_while_something_is_counted_changes_no_count() -> None:
    code = FIRST + (
        "from cnnbench.spec import Spec; from cnnbench.worker import build;"
        "work = Spec.parse('lenet/training-b2-3x32x32/eager/cpu-t1').workload;"
        # Something is imported in the middle, which keeps what was going on alive.
        "from cnnbench.analysis.trace import Trace; run, held = Trace._run, [];"
        "late = lambda self, *words: (len(held) < 9 and (held.append(words),"
        " sys.modules.update({f'late{len(held)}': held})), run(self, *words))[1];"
        "Trace._run = late;"
        "print(json.dumps([build.counted(work, 0).memory.activations for _ in range(3)]))"
    )

    first, *others = told(code)

    assert others == [first, first]


def test_the_function_that_waits_answers_as_the_compilers_own() -> None:
    code = FIRST + (
        "waits = sys.modules['torchvision.ops.roi_align'].is_compile_supported;"
        "answers = [waits(one) for one in ('cpu', 'cuda', 'meta')];"
        "from torch._dynamo.utils import is_compile_supported as own;"
        "print(json.dumps([answers, [own(one) for one in ('cpu', 'cuda', 'meta')], waits is own]))"
    )

    answers, own, same = told(code)

    # Not the same function: this test would be about nothing.
    assert not same
    assert answers == own


def test_regions_are_cut_out_as_without_it() -> None:
    code = (
        "import json, torch; from torchvision.ops import roi_align;"
        "x = torch.arange(64.0).reshape(1, 1, 8, 8);"
        "boxes = torch.tensor([[0.0, 1.0, 1.0, 6.0, 5.0]]);"
        "print(json.dumps(roi_align(x, boxes, 3).tolist()))"
    )

    assert told(FIRST + code) == told(code)


def test_what_a_later_torchvision_asks_for_comes_from_the_compiler_itself() -> None:
    code = (
        "import json, sys, torch; from cnnbench.worker import importing;"
        "sys.modules['torch._dynamo.utils'] = importing._StandIn('torch._dynamo.utils');"
        "from torch._dynamo.utils import counters; import torch._dynamo.utils as real;"
        "print(json.dumps(counters is real.counters))"
    )

    assert told(code) is True


def test_a_starter_imports_the_compiler_once_for_all_without_processes_of_its_own() -> None:
    code = FIRST + (
        "import os, torch; before = len(os.listdir('/proc/self/task')); importing.compiler();"
        "from torch._inductor import config; from torch._inductor.async_compile import"
        " AsyncCompile; import multiprocessing, subprocess;"
        "print(json.dumps(['torch._inductor.compile_fx' in sys.modules,"
        " len(os.listdir('/proc/self/task')) - before,"
        " open(f'/proc/self/task/{os.getpid()}/children').read(),"
        " torch.backends.cuda.matmul.fp32_precision]))"
    )

    assert told(code) == [True, 0, "", "none"]


def test_who_wants_the_compilers_processes_gets_them_in_every_worker() -> None:
    code = FIRST + (
        "importing.compiler(); print(json.dumps('torch._inductor.compile_fx' in sys.modules))"
    )

    assert told(code, TORCHINDUCTOR_COMPILE_THREADS="4") is False
    assert told(code, TORCHINDUCTOR_COMPILE_THREADS="1") is True


def test_a_step_is_measured_without_it_where_nothing_compiles() -> None:
    code = FIRST + (
        "from cnnbench.spec import Spec;"
        "from cnnbench.worker import build, devices, modes, sampling;"
        "spec = Spec.parse('lenet/inference-b1-3x32x32/channels_last/cpu-t1');"
        "modes.set_flags(spec.mode, 1); device = devices.open_device(spec.device);"
        "step = build.built(spec, 0); step.call();"
        "build.counted(spec.workload, 0).cost();"
        "sampling.take_slice(step.call, device, 0, 1, 0.01, 1e-3);"
        "print(json.dumps([one for one in sys.modules if one.startswith('torch._dynamo')]))"
    )

    assert told(code) == []
