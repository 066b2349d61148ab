"""Predicted memory against a dispatcher on real tensors and the CPU allocator's own events."""

from __future__ import annotations

import gc
import weakref

import pytest
import torch
from torch import nn
from torch.profiler import ProfilerActivity, profile
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torchvision import models

from cnnbench.analysis import analyze
from cnnbench.architectures.training import Training

# Those that are quick to train; all eight of the study at full size are in
# bench/analysis_memory.py.
LIGHT = ("mobilenet_v2", "densenet121", "efficientnet_b0", "resnet18", "shufflenet_v2_x1_0")
CASES = [
    ("inference", name) for name in ("resnet50", "convnext_tiny", "swin_t", "vit_b_32", *LIGHT)
]
CASES += [("training", name) for name in LIGHT]
ONEDNN = torch.backends.mkldnn.is_available() and "AVX512" in torch.__config__.show()


@pytest.fixture(autouse=True)
def one_thread():
    """oneDNN's choice of algorithm, and with it its scratch, depends on threads."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


class Tracker(TorchDispatchMode):
    """The peak of live storages that appear as results; nothing shared with the analyser."""

    def __init__(self, known):
        super().__init__()
        self.seen = {tensor.untyped_storage()._cdata for tensor in known}
        self.live = self.peak = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(out):
            if isinstance(tensor, torch.Tensor):
                self.note(tensor.untyped_storage())
        return out

    def note(self, storage):
        key, size = storage._cdata, storage.nbytes()
        if key not in self.seen:
            self.seen.add(key)
            self.live += size
            self.peak = max(self.peak, self.live)
            weakref.finalize(storage, self.gone, key, size)

    def gone(self, key, size):
        self.seen.discard(key)
        self.live -= size


def network(name):
    arguments = {"image_size": 64} if name.startswith("vit") else {}
    return models.get_model(name, weights=None, **arguments)


def images():
    return torch.zeros(2, 3, 64, 64)


def predicted(module, phase, optimizer="sgd"):
    """Predicted peak without what is resident, without and with library scratch."""
    memory = analyze(module, (images(),), phase=phase, optimizer=optimizer).memory
    resident = memory.params + memory.buffers + memory.input + memory.optimizer_state
    return memory.peak - resident, memory.peak + memory.scratch - resident


def step(module, image):
    output = module(image)
    output.backward(torch.ones_like(output))


@pytest.mark.parametrize(("phase", "name"), CASES)
def test_within_one_percent_of_a_dispatch_tracker(name, phase):
    module, image = network(name), images()
    module.train(phase == "training")
    tracker = Tracker([*module.parameters(), *module.buffers(), image])
    with torch.set_grad_enabled(phase == "training"), tracker:
        if phase == "training":
            step(module, image)
        else:
            module(image)

    assert predicted(module, phase)[0] == pytest.approx(tracker.peak, rel=0.01)


@pytest.mark.parametrize("text", ["head", "last=1", "head,conv1"])
def test_what_is_frozen_needs_no_gradients_and_fewer_activations(text):
    module, image = network("resnet18"), images()
    memory = analyze(
        module, (image,), phase="training", optimizer="sgd", trained=Training(text).choose
    ).memory
    Training(text).choose(module.train())
    tracker = Tracker([*module.parameters(), *module.buffers(), image])
    with tracker:
        step(module, image)

    resident = memory.params + memory.buffers + memory.input
    assert memory.peak - resident == pytest.approx(tracker.peak, rel=0.01)
    assert memory.gradients == sum(p.nbytes for p in module.parameters() if p.requires_grad)


def allocated(call):
    """Peak of the CPU allocator over a call, from the profiler's memory events."""
    gc.collect()
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True, acc_events=True) as prof:
        call()
    events = [e for e in prof.profiler.kineto_results.events() if e.name() == "[memory]"]
    now = peak = 0
    for event in sorted(events, key=lambda e: e.start_ns()):
        now += event.nbytes()
        peak = max(peak, now)
    return peak


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("phase", "name"), CASES)
def test_within_ten_percent_of_the_allocator(name, phase):
    module, image = network(name), images()
    module.train(phase == "training")
    tensors, with_scratch = predicted(module, phase)

    def call():
        with torch.set_grad_enabled(phase == "training"):
            step(module, image) if phase == "training" else module(image)

    call()
    module.zero_grad(set_to_none=True)
    peak = allocated(call)

    # Without oneDNN's AVX-512 kernels the scratch is another, and only what tensors need is
    # certain.
    if ONEDNN:
        assert with_scratch == pytest.approx(peak, rel=0.1)
    assert tensors <= 1.05 * peak


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("name", "make"),
    [
        ("sgd", lambda p: torch.optim.SGD(p, 0.1)),
        ("momentum", lambda p: torch.optim.SGD(p, 0.1, momentum=0.9)),
        ("adam", torch.optim.Adam),
        ("adamw", torch.optim.AdamW),
        ("rmsprop", torch.optim.RMSprop),
    ],
)
def test_the_optimiser_is_in_the_peak(name, make):
    # So many weights that the peak stands in the optimiser's step.
    module, image = nn.Sequential(nn.Flatten(), nn.Linear(12288, 64)), images()
    optimizer = make(module.parameters())

    def call():
        step(module, image)
        optimizer.step()

    call()
    optimizer.zero_grad(set_to_none=True)
    memory = analyze(module, (image,), phase="training", optimizer=name).memory

    states = sum(
        value.nbytes
        for state in optimizer.state.values()
        for value in state.values()
        if isinstance(value, torch.Tensor) and value.dim()
    )
    assert memory.optimizer_state == states
    resident = memory.params + memory.buffers + memory.input + states
    assert memory.peak - resident == pytest.approx(allocated(call), rel=0.01)
    assert (memory.op == "optimizer step") == (name in {"adam", "adamw", "rmsprop"})


def test_the_parts_by_hand():
    module = nn.Sequential(nn.Conv2d(3, 8, 1, bias=False), nn.ReLU(), nn.Conv2d(8, 2, 1))
    image = torch.zeros(1, 3, 16, 16)
    plane = 16 * 16 * 4

    memory = analyze(module, (image,)).memory

    assert memory.params == 4 * (24 + 16 + 2)
    assert memory.input == 3 * plane
    assert memory.activations == 16 * plane
    assert (memory.activation_layer, memory.activation_op) == ("1", "aten.relu.default")
    assert memory.peak == memory.params + memory.input + 16 * plane
    assert memory.gradients == memory.optimizer_state == 0


def test_gradients_and_saved_activations():
    module = nn.Sequential(nn.Linear(10, 20, bias=False), nn.Linear(20, 5, bias=False))

    memory = analyze(module, (torch.zeros(4, 10),), phase="training", optimizer="momentum").memory

    assert memory.gradients == memory.optimizer_state == 4 * (200 + 100)
    assert memory.saved == 4 * 4 * (20 + 5)


def test_a_view_costs_nothing_and_a_shared_storage_once():
    class Net(nn.Module):
        def forward(self, x):
            y = x + 1
            return y.view(-1), y[:2], y.t()

    assert analyze(Net(), (torch.zeros(4, 4),)).memory.activations == 64


def test_in_place_needs_no_second_map():
    image = (torch.zeros(1, 4, 8, 8),)
    conv = nn.Conv2d(4, 4, 1)

    in_place = analyze(nn.Sequential(conv, nn.ReLU(inplace=True)), image).memory
    out_of_place = analyze(nn.Sequential(conv, nn.ReLU()), image).memory

    assert 2 * in_place.activations == out_of_place.activations


def test_attention_does_not_keep_scores():
    class Net(nn.Module):
        def forward(self, q):
            return nn.functional.scaled_dot_product_attention(q, q, q)

    memory = analyze(Net(), (torch.zeros(1, 2, 512, 16),)).memory

    scores = 2 * 512 * 512 * 4
    assert memory.activations < scores / 4


class Transposed(nn.Module):
    """A layer over channels as the last axis, which are not contiguous."""

    def __init__(self, layer):
        super().__init__()
        self.layer = layer

    def forward(self, x):
        return self.layer(x.flatten(2).transpose(1, 2))


def grouped(channels, groups, kernel, results=None, **more):
    return nn.Conv2d(
        channels, results or channels, kernel, padding=kernel // 2, groups=groups, **more
    )


COPIED = {
    "narrow result": (nn.Conv2d(1, 6, 5), (16, 1, 28, 28)),
    "narrow source": (nn.Conv2d(6, 16, 5), (16, 6, 14, 14)),
    "both narrow": (nn.Conv2d(4, 4, 3), (2, 4, 32, 32)),
    "no whole blocks": (nn.Conv2d(16, 20, 3), (2, 16, 32, 32)),
    "groups of 8": (grouped(24, 3, 3), (2, 24, 32, 32)),
    "groups of 4": (grouped(24, 3, 3, 36), (2, 24, 32, 32)),
    "groups of 5": (grouped(20, 4, 3), (2, 20, 32, 32)),
    "groups of 1x1": (grouped(24, 3, 1), (2, 24, 32, 32)),
    "strides in groups": (grouped(64, 8, 3, stride=2), (2, 64, 32, 32)),
    "depthwise": (grouped(20, 20, 3), (2, 20, 32, 32)),
    "wide depthwise": (grouped(24, 24, 7), (2, 24, 32, 32)),
    "depthwise that multiplies": (grouped(16, 16, 3, 32), (2, 16, 32, 32)),
    # Of so many images that a product's own sums (80 kB of a thread) are less than 1 %.
    "wide kernel": (nn.Conv2d(3, 192, 16, 16), (16, 3, 128, 128)),
    "strided": (nn.Conv2d(32, 32, 3, 2), (4, 32, 33, 33)),
    "sampled": (nn.Conv2d(48, 16, 1, 2), (4, 48, 32, 32)),
    "1x1 of many images": (nn.Conv2d(32, 64, 1), (16, 32, 16, 16)),
    "one axis": (nn.Conv1d(20, 32, 5, padding=2), (4, 20, 256)),
    "one axis, channels last": (Transposed(nn.Conv1d(400, 32, 3)), (2, 16, 20, 20)),
    "columns of a film": (nn.Conv3d(16, 24, (3, 1, 1)), (2, 16, 6, 8, 8)),
    "layer norm": (Transposed(nn.LayerNorm(16)), (2, 16, 32, 32)),
    "group norm": (Transposed(nn.GroupNorm(4, 1024)), (2, 16, 32, 32)),
    "softmax": (Transposed(nn.Softmax(-1)), (2, 16, 32, 32)),
}


@pytest.mark.skipif(not ONEDNN, reason="other kernels have other scratch")
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("phase", ["inference", "training"])
@pytest.mark.parametrize("name", COPIED)
def test_copies_inside_of_kernels(name, phase):
    # A step whose input has a gradient, as it has inside of a network.
    module, shape = COPIED[name]
    x = torch.zeros(shape, requires_grad=phase == "training")
    module.train(phase == "training")
    memory = analyze(module, (x,), phase=phase, optimizer="sgd").memory
    resident = memory.params + memory.buffers + memory.input

    def call():
        with torch.set_grad_enabled(phase == "training"):
            step(module, x) if phase == "training" else module(x)

    call()
    module.zero_grad(set_to_none=True)
    x.grad = None
    measured = allocated(call)

    assert memory.peak + memory.scratch - resident == pytest.approx(measured, rel=0.01)


LOWERED = {
    "dense": (nn.Conv2d(32, 64, 3, padding=1), (4, 32, 64, 64)),
    "strided": (nn.Conv2d(64, 64, 5, 2, 2), (4, 64, 64, 64)),
    "depthwise": (grouped(96, 96, 3, stride=2), (4, 96, 32, 32)),
    "groups": (grouped(256, 32, 3), (2, 256, 32, 32)),
    "wide depthwise": (grouped(64, 64, 7), (2, 64, 32, 32)),
}
UNSTRIDED = ("dense", "groups", "wide depthwise")


@pytest.mark.skipif(
    not ONEDNN or torch.__version__ < "2.14" or torch.cpu._is_amx_tile_supported(),
    reason="fitted to the oneDNN of torch 2.14 with AVX-512, without AMX",
)
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("name", "last"),
    [*((name, False) for name in LOWERED), *((name, True) for name in UNSTRIDED)],
)
def test_copies_of_gradients_in_lower_precision(name, last):
    # Sums in float32 and transposed images; as much as all else in channels last.
    module, shape = LOWERED[name]
    layout = torch.channels_last if last else torch.contiguous_format
    x = torch.zeros(shape, dtype=torch.bfloat16).contiguous(memory_format=layout)
    module = module.to(dtype=torch.bfloat16, memory_format=layout).train()
    x.requires_grad_()
    memory = analyze(module, (x,), phase="training", optimizer="sgd").memory

    step(module, x)
    module.zero_grad(set_to_none=True)
    x.grad = None
    measured = allocated(lambda: step(module, x))

    resident = memory.params + memory.buffers + memory.input
    assert memory.peak + memory.scratch - resident == pytest.approx(measured, rel=0.01)


class Functional(nn.Module):
    def forward(self, x):
        weight = x.new_zeros(4, 4, 2, 2)
        return nn.functional.conv_transpose2d(nn.functional.conv2d(x, weight), weight)


class Plain(nn.Module):
    def forward(self, x):
        return nn.functional.conv2d(x, x.new_zeros(4, 4, 2, 2))


@pytest.mark.parametrize("phase", ["inference", "training"])
@pytest.mark.parametrize(
    ("layer", "named"),
    [
        (nn.ConvTranspose2d(4, 4, 2), "ConvTranspose2d"),
        (nn.Sequential(Functional(), nn.Conv2d(4, 4, 1)), "conv_transpose2d"),
        (nn.Conv2d(4, 4, 2).double(), "Conv2d"),
        (nn.Sequential(Plain(), nn.Conv2d(4, 4, 1)).double(), "Conv2d, conv2d"),
        (nn.Sequential(nn.Flatten(2), nn.Conv1d(4, 4, 3)), None),
    ],
)
def test_convolutions_whose_scratch_is_not_known_are_named(layer, named, phase):
    x = torch.zeros(2, 4, 8, 8, dtype=next(layer.parameters()).dtype)

    said = " ".join(analyze(layer, (x,), phase=phase).assumptions)

    assert (f"inside of {named} is not known" in said) == (named is not None)
    assert ("not known" in said) == (named is not None)
