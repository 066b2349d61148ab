"""The table of remedies: command lines that go wrong, and what their own messages say to do.

Every message of the package that names a remedy has a case here, or stands in ``NOT_RUN`` with a
reason; ``tests/test_remedies.py`` runs the cases and sees to it that no message is missing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

RUN = "run --models lenet --device cpu --rounds 2 --out kept"
LAYER = "n1c4h8w8-k4-3x3-p1"


@dataclass(frozen=True)
class Case:
    """A wrong command line, what is said of it, and what comes of doing as told.

    Attributes:
        said: part of the message as the source has it; ``{}`` is what is filled in.
        line: the command line that goes wrong.
        take: where what is printed names the remedy, as a regular expression; its group is ``run``
            for another command, ``put`` for an option that is added or replaced, ``drop`` for one
            that is taken away.
        fill: what a user fills in -> with what.
        before: command lines that are run first.
        code: the exit code of the wrong line.
        then: the exit code of the right one.
        shows: what it prints then, as a regular expression; without, only that the message is gone.
    """

    said: str
    line: str
    take: str
    fill: Mapping[str, str] = field(default_factory=dict)
    before: tuple[str, ...] = ()
    code: int = 2
    then: int = 0
    shows: str = ""


def _runs(path: str) -> str:
    return rf"(?P<run>cnnbench run --resume '{path}'), or"


_HOLDS, _GO_ON = "{} holds {}; {} choose another --out", "continue it with {}, or"
_FULL = ('run --models lenet --rounds 2 --out "a run"',)
_OTHER = {"--out": "--out other"}
_SLOW = "no answer within {} s; raise --timeout"
_MORE = {"take": r"raise (?P<put>--timeout)", "fill": {"--timeout": "--timeout 15m"}}
_HANGS = "fake:hangs"
_KEPT = (RUN, "baseline save kept -o base.json")
_BASE = "check --baseline base.json"
_TWO = "run --models lenet,alexnet --device cpu --rounds 2 --out both"
_BOTH = f"{_BASE} kept"
_ONE_GONE = (_TWO, "baseline save both -o base.json", RUN)

FILES_AND_RUNS = (
    *(
        Case(_HOLDS, f'{line} --out "a run"', r"choose another (?P<put>--out)", _OTHER, _FULL)
        for line in (
            "run --models alexnet --rounds 2",
            "advise lenet",
            f"conv --layer {LAYER} --rounds 2",
            "profile lenet",
            "import bench.json",
            "ab lenet lenet",
        )
    ),
    Case("cnnbench run --resume {}", 'run --models lenet --out "a run"', _runs("a run"),
         before=_FULL),
    Case(_GO_ON, 'advise lenet --out "a run"', _runs("a run"), before=_FULL),
    Case("{} goes with --resume DIR", "run --retry-failed", r"with (?P<put>--resume DIR)",
         {"DIR": "kept"}, (RUN,)),
    Case("{} goes with --resume DIR", "run --allow lenet", r"with (?P<put>--resume DIR)",
         {"DIR": "kept"}, (RUN,)),
    Case("{}; drop {}", "run --resume kept --batch 2", r"drop (?P<drop>--batch)", before=(RUN,)),
    Case("{}; drop {}", "baseline save kept --batch 2", r"drop (?P<drop>--batch)", before=(RUN,)),
    Case("{} exists; add to it with 'cnnbench baseline update', or use --force",
         "baseline save kept -o base.json", r"or use (?P<put>--force)", before=_KEPT),
    Case("{} exists; add to it with 'cnnbench baseline update', or use --force",
         "baseline save kept -o base.json", r"with '(?P<run>cnnbench baseline update)'",
         {"update": "update base.json kept"}, _KEPT),
    Case("'cnnbench baseline save' needs either a run or --models", "baseline save",
         r"or (?P<put>--models)", {"--models": "--models lenet"}),
    Case("'cnnbench baseline save' needs either a run or --models", "baseline save",
         r"'(?P<run>cnnbench baseline save)' needs either a run", {"save": "save kept"}, (RUN,)),
    Case("{}: not a baseline file; make one with 'cnnbench baseline save'",
         "baseline show other.json", r"with '(?P<run>cnnbench baseline save)'",
         {"save": "save kept"}, (RUN,)),
    Case("not be combined; use --replace, or save a separate baseline file",
         "baseline update elsewhere.json kept", r"use (?P<put>--replace)",
         before=(RUN, "baseline save elsewhere -o elsewhere.json"), code=5),
    Case("if you trust it, add{}", "run --resume kept --retry-failed", r"add (?P<put>--allow \S+)",
         before=("run --models fake:raises,lenet --rounds 2 --out kept",), then=3),
    Case("if you trust it, add{}", f"{_BASE} --structure-only", r"add (?P<put>--allow \S+)",
         before=("run --models fake:net --rounds 2 --out kept", _KEPT[1])),
)  # fmt: skip

DEVICES = (
    Case("takes a run for each, such as --device {}", "run --models lenet --device cuda:0,cuda:1",
         r"such as (?P<put>--device cuda:0)"),
    Case("this takes one, such as --device cuda:0", "profile lenet --device cuda:all",
         r"such as (?P<put>--device cuda:0)"),
    Case("this takes one, such as --device cuda:0",
         "ab eager tf32 --models lenet --device cuda:all", r"such as (?P<put>--device cuda:0)"),
)  # fmt: skip

HOSTS = (
    Case("--on says which hosts of a --cluster measure what; drop --on",
         "run --models lenet --device cpu --rounds 2 --on each", r"drop (?P<drop>--on)"),
    Case("{} was begun on one host, and goes on there; drop --cluster",
         "run --resume kept --cluster local", r"drop (?P<drop>--cluster)", before=(RUN,)),
    Case("has the whole to spend time on; drop --budget",
         "run --models lenet --device cpu --cluster local --budget 9s --dry-run",
         r"drop (?P<drop>--budget)"),
    Case("--device cuda:all: hosts of a cluster measure one thing at a time",
         "run --models lenet --device cuda:all --cluster local --dry-run",
         r"use (?P<put>--device cuda:0)"),
    Case("has the whole to spend time on; drop --budget",
         f"conv --layer {LAYER} --device cpu --cluster local --budget 9s --dry-run",
         r"drop (?P<drop>--budget)"),
    Case("--{}: {}, so not with --cluster; drop --{}",
         "run --models lenet,vgg11 --device cpu --shard 1/2 --cluster local --dry-run",
         r"drop (?P<drop>--shard)"),
    Case("--{}: {}, so not with --cluster; drop --{}",
         "conv --from-model lenet --impl none --apply --cluster local --dry-run",
         r"drop (?P<drop>--apply)"),
)  # fmt: skip

GATE = (
    Case("cnnbench explain {}", "ab eager channels_last --models lenet --explain --out o",
         r"more: (?P<run>cnnbench explain \S+)", code=0),
    Case("{}; drop --{}", f"{_BASE} --structure-only --out o",
         r"drop (?P<drop>--out)", before=_KEPT),
    Case("{}; drop --{}", f"{_BASE} kept --out o",
         r"drop (?P<drop>--out)", before=_KEPT),
    Case("{}; drop --{}", f"{_BASE} kept --allow x",
         r"drop (?P<drop>--allow)", before=_KEPT),
    Case("{}; drop --{}",
         f"{_BASE} --structure-only --explain", r"drop (?P<drop>--explain)", before=_KEPT),
    Case("{}; drop --{}",
         f"{_BASE} kept --explain", r"drop (?P<drop>--explain)", before=_KEPT),
    Case("{} has no {}; 'cnnbench ab --explain' writes it", "explain here",
         r"'(?P<run>cnnbench ab --explain)' writes",
         {"ab --explain": "ab eager channels_last --models lenet --explain"}),
    Case("{}; drop --{}",
         f"{_BASE} kept --timeout 9", r"drop (?P<drop>--timeout)", before=_KEPT),
    Case("{}; drop --{}", f"{_BASE} --structure-only --wait 1s",
         r"drop (?P<drop>--wait)", before=_KEPT),
    Case("{}; drop --{}", f"{_BASE} kept --wait 1s",
         r"drop (?P<drop>--wait)", before=_KEPT),
    Case("--shard {}: what is compared stays together",
         "run --models lenet,vgg11 --device cpu --rounds 2 --shard 1/3 --out kept",
         r"use (?P<put>--shard 1/2)"),
    Case("most likely to give an answer: {}",
         "ab lenet lenet --threads 1 --threshold 0.1% --strict",
         r"give an answer: (?P<run>cnnbench ab .* --threshold 1%)", code=4),
    Case("timing was not judged: {}; judge it in any case with --force",
         "compare elsewhere here -t latency=50% --strict", r"with (?P<put>--force)", code=5,
         then=4),
    Case("timing was not judged: {}; judge it in any case with --force",
         "check --baseline elsewhere here -t latency=50% --strict", r"with (?P<put>--force)",
         code=5, then=4),
    Case("measured at different times; use 'cnnbench ab' to measure side by side",
         "compare here slower -t latency=3% --strict", r"use '(?P<run>cnnbench ab)'",
         {"ab": "ab eager channels_last --models lenet"}, code=4),
    Case("cnnbench baseline update {} --replace",
         'check --baseline "a base.json" "larger here"',
         r"if the change is intended: (?P<run>cnnbench .*? --replace)",
         before=('baseline save here -o "a base.json"',), code=1),
    Case("if it was removed: cnnbench baseline update {} --remove {}", _BOTH,
         r"if it was removed: (?P<run>cnnbench .*? --remove \S+)", before=_ONE_GONE, code=3),
    Case("another name: cnnbench baseline update {} --rename {}", _BOTH,
         r"another name: (?P<run>cnnbench .*? --rename \S+)", {"NEW": "vgg11"}, _ONE_GONE, 3),
    Case("if it is: cnnbench baseline update {} --rename {}", "check --baseline base.json renamed",
         r"if it is: (?P<run>cnnbench .*? --rename \S+)", {}, ("baseline save here -o base.json",),
         3),
    Case("to keep it: cnnbench baseline update {} {}", f"{_BASE} both",
         r"to keep it: (?P<run>cnnbench baseline update base.json both)",
         before=(*_KEPT, _TWO), code=0),
    Case("--models is for a look at the current code; use --structure-only",
         f"{_BASE} --models vgg11", r"use (?P<put>--structure-only)", before=_KEPT),
    Case("{} failed, so {} stays as it is; see --rename and --remove",
         "baseline update hung.json --allow fake:hangs", r"see (?P<put>--rename)",
         {"--rename": "--rename fake:hangs=lenet"}, ("baseline save hung -o hung.json",), 3),
    Case("are dropped; add a new run with 'cnnbench baseline update'",
         "baseline update base.json --replace", r"with '(?P<run>cnnbench baseline update)'",
         {"update": "update base.json kept"}, ("baseline save larger -o base.json", RUN), 0),
    Case("cnnbench baseline update {}", "check --baseline base.json --structure-only",
         r"if the change is intended: (?P<run>cnnbench baseline update base.json)",
         before=("baseline save untimed -o base.json",), code=1),
    Case("this adds them: cnnbench baseline update {}",
         "check --baseline base.json --structure-only",
         r"this adds them: (?P<run>cnnbench baseline update base.json)",
         before=("baseline save untimed -o base.json",), code=1),
    Case("baseline update {} --replace", "check --baseline base.json --structure-only",
         r"if the change is intended: (?P<run>cnnbench .*? --replace), where RUN is",
         {"RUN": "kept"}, ("baseline save larger -o base.json", RUN), code=1),
    Case("name the networks of the repository: --models package.module:factory",
         "ab main HEAD --repo repo", r"(?P<put>--models package\.module:factory)",
         {"package.module:factory": "nets:tiny"}),
    Case("BASE and HEAD are {}s already; drop --{}s", "ab lenet alexnet --models lenet",
         r"drop (?P<drop>--models)"),
    Case("BASE and HEAD are {}s already; drop --{}s", "ab eager amp=bf16 --modes eager",
         r"drop (?P<drop>--modes)"),
    Case("this is not a git repository; see --repo", "ab rev:main rev:HEAD --models lenet",
         r"see (?P<put>--repo)", {"--repo": "--repo repo"}),
    Case("this is not a git repository; see --repo", "bisect main~1 main --models nets:tiny",
         r"see (?P<put>--repo)", {"--repo": "--repo repo"}, shows="nothing to bisect", then=2),
    Case("this is not a git repository; see --repo",
         "ab . . --models lenet", r"see (?P<put>--repo)", {"--repo": "--repo repo"}),
)  # fmt: skip

REPORTS = (
    Case("{} holds files and is no site of cnnbench; choose another --out",
         "site kept --out kept", r"choose another (?P<put>--out)",
         {"--out": "--out site"}, (RUN,)),
    Case("--metric needs --pivot FIELD", "report kept --metric latency",
         r"needs (?P<put>--pivot FIELD)", {"FIELD": "mode"}, (RUN,)),
    Case("--baseline needs --format html; for a table use cnnbench compare",
         "report slower --baseline here", r"needs (?P<put>--format html);"),
    Case("--baseline needs --format html; for a table use cnnbench compare",
         "report slower --baseline here", r"use (?P<run>cnnbench compare)",
         {"compare": "compare here slower"}),
    Case("--under, --memory and --top1 go with rows; drop --lab, --pipelines, --dataset, --scaling,"
         " --pivot", "report kept --scaling --under 1s", r"--dataset, (?P<drop>--scaling)",
         before=(RUN,)),
    Case("--pictures needs --format markdown -o FILE", "report kept --pictures",
         r"needs (?P<put>--format markdown -o FILE)", {"FILE": "table.md"}, (RUN,)),
    Case("--{} cannot be combined with --format {}, which has its own; drop one",
         "report kept --scaling --format html", r"(?P<drop>--scaling) cannot", before=(RUN,)),
    Case("--{} cannot be combined with --format {}, which has its own; drop one",
         "report kept --scaling --format html", r"with (?P<drop>--format) html", before=(RUN,)),
    Case("--scaling and --pivot are mutually exclusive; keep one",
         "report kept --scaling --pivot mode", r"(?P<drop>--scaling) and", before=(RUN,)),
    Case("--{} cannot be combined with --{}; drop one", "report kept --pivot mode --sort latency",
         r"(?P<drop>--sort) cannot", before=(RUN,)),
    Case("--{} cannot be combined with --{}; drop one", "report kept --pivot mode --sort latency",
         r"with (?P<drop>--pivot);", before=(RUN,)),
    Case("these runs contain no input pipelines; measure some with cnnbench input",
         "report kept --pipelines", r"with (?P<run>cnnbench input)",
         {"input": "input --recipe mnist --device cpu --rounds 2"}, before=(RUN,)),
    Case("'{}' is an input pipeline; measure it by cnnbench input --recipe {}",
         "run input:mnist", r"by (?P<run>cnnbench input --recipe \S+)"),
    Case("single steps have no loader; use --workers 0",
         "input --recipe flip --workers 2 --device cpu", r"use (?P<put>--workers 0)"),
    Case("--dataset: an epoch is a network's; add --models NAME or --against DIR",
         "input --recipe mnist --dataset mnist --device cpu", r"add (?P<put>--models NAME)",
         {"NAME": "lenet"}),
    Case("one round cannot tell whether it is enough; use more --rounds",
         "input --recipe cifar-train --models lenet --device cpu --rounds 1",
         r"use more (?P<put>--rounds)", {"--rounds": "--rounds 3"}, code=0),
    Case("--lab: these runs contain no single layers; measure some with cnnbench conv",
         "report kept --lab", r"with (?P<run>cnnbench conv)", {"conv": f"conv --layer {LAYER}"},
         (RUN,)),
    Case("--json and --format {} contradict each other; keep one",
         "report kept --json --format csv", r"(?P<drop>--json) and", before=(RUN,)),
    Case("--json and --format {} contradict each other; keep one",
         "report kept --json --format csv", r"and (?P<drop>--format) csv", before=(RUN,)),
)  # fmt: skip

LINES = (
    Case("--{} goes with {}", "cost lenet --depth 1", r"with (?P<put>--layers)"),
    Case("--{} and --{} are different tables; drop one of them", "cost lenet --layers --ops",
         r"(?P<drop>--ops) are different"),
    Case("--{} goes with {}", "cost lenet --sort macs", r"or (?P<put>--ops)"),
    Case("so --columns would do nothing; drop --columns", "cost lenet --columns macs --json",
         r"drop (?P<drop>--columns)"),
    *(
        Case("so --columns would do nothing; drop --columns", f"list lenet --columns macs {how}",
             r"drop (?P<drop>--columns)")
        for how in ("--json", "--names")
    ),
    Case("--model-arg {} is given twice; keep one", "cost lenet --model-arg a=1 --model-arg a=2",
         r"(?P<drop>--model-arg) a is"),
    Case("a layer's cost needs both --in CxHxW and --out-channels N",
         "shape conv --in 28 --kernel 3 --out-channels 8", r"both (?P<put>--in CxHxW)",
         {"CxHxW": "3x28x28"}),
    Case("a layer's cost needs both --in CxHxW and --out-channels N",
         "shape conv --in 3x28x28 --kernel 3", r"and (?P<put>--out-channels N)", {"N": "8"}),
    Case("{} is the model already; drop --from-model",
         "conv lenet --from-model alexnet --rounds 2", r"drop (?P<drop>--from-model)"),
    Case("--train-eval counts both modes; drop --phase",
         "cost lenet --train-eval --phase training", r"drop (?P<drop>--phase)"),
    Case("takes no regions as an input; drop --regions, or choose {}",
         "run --models lenet --regions 20 --rounds 2", r"drop (?P<drop>--regions)"),
    Case("no model given; name one, a pattern, or quick", "cost ,", r"(?P<run>quick)",
         {"quick": "cost quick"}),
    Case("--apply changes a model for inference; leave --phase out",
         "conv lenet --apply --phase training --rounds 2", r"leave (?P<drop>--phase) out"),
    Case("--apply changes a model; name it with --from-model MODEL", "conv --apply --rounds 2",
         r"with (?P<put>--from-model MODEL)", {"MODEL": "lenet"}),
    Case("--unit is for --layer and --suite: the layers of a model are the convolutions that"
         " it has; leave --unit out", "conv lenet --unit conv+relu --rounds 2",
         r"leave (?P<drop>--unit) out"),
    Case("--direction is for --layer and --suite: the layers of a model are measured"
         " forward; leave --direction out", "conv lenet --direction backward_data --rounds 2",
         r"leave (?P<drop>--direction) out"),
    Case("--unit {} has no backward pass by itself, which is of a convolution alone; leave"
         " --unit out", f"conv --layer {LAYER} --unit conv+relu --direction backward_data",
         r"leave (?P<drop>--unit) out"),
    Case("--suite, --layer and --from-model are mutually exclusive; keep one",
         f"conv --suite smoke --layer {LAYER} --rounds 2", r"(?P<drop>--suite), "),
    Case("--suite, --layer and --from-model are mutually exclusive; keep one",
         f"conv --from-model lenet --layer {LAYER} --rounds 2", r"and (?P<drop>--from-model)"),
    Case("left out: would take about {} s; name it with --impl to measure it",
         "conv --layer n32c256h56w56-k256-3x3-p1 --dry-run --device cpu",
         r"impl=direct\S+\s+\(not possible: left out: .*?name it with (?P<put>--impl)",
         {"--impl": "--impl direct"}, code=0),
    Case("mode 'deploy' stands for deployment runtimes, which run on cpu alone; use --device cpu",
         "run lenet --modes deploy --device cuda --dry-run", r"use (?P<put>--device cpu)"),
    Case("an input of {}x{} is assumed; for another: --layer {}",
         "conv --layer 'Conv2d(8, 8, 3)' --impl none --dry-run",
         r"for another: (?P<put>--layer '.*?28x28')", code=0),
    Case("one round cannot show a difference; use more --rounds or a larger --budget",
         f"conv --layer {LAYER} --rounds 1", r"use more (?P<put>--rounds)",
         {"--rounds": "--rounds 3"}, code=0),
    Case("one round cannot show a difference; use more --rounds or a larger --budget",
         f"conv --layer {LAYER} --budget 1s", r"a larger (?P<put>--budget)",
         {"--budget": "--budget 1h"}, code=0),
    *(
        Case("'{}' is a single layer; measure it, with its input, by cnnbench conv --layer {}",
             line, r"by (?P<run>cnnbench conv --layer \S+)")
        for line in ("run --models conv:k64-3x3-p1", f"cost conv:{LAYER}",
                     "max-batch --models conv:k64-3x3-p1", "advise conv:k64-3x3-p1")
    ),
    Case("use --mode {}, or measure it with 'cnnbench run'", "predict lenet --mode amp",
         r"use (?P<put>--mode eager)"),
    Case("use --mode {}, or measure it with 'cnnbench run'", "predict lenet --mode amp",
         r"with '(?P<run>cnnbench run)'", {"run": "run lenet --modes amp --rounds 2"}),
    Case("{}: no operator table; drop --table to make one here; in the folder of --tables, move it",
         "predict lenet --table other.json", r"drop (?P<drop>--table) to make one"),
    Case("advice is for one model in one workload; this asks for {}: name one, such as {}",
         "advise lenet resnet18", r"name one, such as (?P<run>lenet)", {"lenet": "advise lenet"}),
    Case("a backward pass by itself is no step of training; drop --phase, or --direction",
         "conv --layer c8h8w8-k8-3x3 --phase training --direction backward_data",
         r"drop (?P<drop>--phase), or"),
    Case("no limit of time; give one, such as --under 20ms", "choose --threads 1",
         r"such as (?P<put>--under 20ms)"),
    Case("{} goes with --resume DIR", "choose --threads 1 --under 20ms --allow lenet",
         r"(?P<drop>--allow) goes with"),
    Case("--table measures nothing that could be kept; drop --out",
         "choose --under 20ms --threads 1 --from resnet18 --out o --table table.jsonl",
         r"drop (?P<drop>--out)", then=3, shows="nothing is predicted to fit"),
    Case("{} is no run of cnnbench choose; go on with it by cnnbench run --resume",
         "choose --resume kept", r"by (?P<run>cnnbench run --resume)",
         {"cnnbench run --resume": "cnnbench run --resume kept"}, (RUN,)),
    Case("none of these networks has a published top-1: {}; bring them by --accuracy FILE",
         "choose --under 20ms --from lenet", r"by (?P<put>--accuracy FILE)",
         {"FILE": "own.csv"}),
    Case("mode {} quantises weights, and accuracies are published of float ones; drop it",
         "choose --under 20ms --from resnet18 --modes onnxruntime+int8,eager",
         r"from (?P<put>--modes)", {"--modes": "--modes eager"}),
    Case("peak memory is not measured in mode {}; drop it from --modes, or drop --memory",
         "choose --under 20ms --from resnet18 --modes onnxruntime,eager --memory 1GB",
         r"from (?P<put>--modes), or", {"--modes": "--modes eager"}),
    Case("{}s would be enough", "advise lenet --budget 1s",
         r"(?s).*(?P<put>--budget \d+s) would be enough", code=0),
    Case(" (see '{} --help')", "run --nope", r"see '(?P<run>cnnbench run --help)'"),
    Case(" (see '{} --help')", "shape conv --nope", r"see '(?P<run>cnnbench shape conv --help)'"),
    Case("(see 'cnnbench --help')", "nope", r"see '(?P<run>cnnbench --help)'"),
    Case("(see 'cnnbench input --list')", "input --recipe nope",
         r"see '(?P<run>cnnbench input --list)'"),
    Case("(see 'cnnbench list')", "run --models nope", r"see '(?P<run>cnnbench list)'"),
)  # fmt: skip

# The fake worker hangs however long it is given: that the limit arrives is all that can be seen.
LIMITS = tuple(
    Case(_SLOW, line, before=before, code=code, then=code, shows="no answer within 900 s", **_MORE)
    for line, before, code in (
        (f"run --models {_HANGS}", (), 3),
        (f"run --resume kept --retry-failed --allow {_HANGS}",
         (f"run --models {_HANGS},lenet --rounds 2 --out kept",), 3),
        (f"ab eager channels_last --models {_HANGS}", (), 3),
        (f"profile {_HANGS}", (), 3),
        (f"advise {_HANGS}", (), 3),
        (f"max-batch --models {_HANGS}", (), 3),
        (f"baseline save --models {_HANGS}", (), 2),
        (f"check --baseline hung --structure-only --allow {_HANGS}", (), 3),
    )
)  # fmt: skip

CASES = FILES_AND_RUNS + DEVICES + HOSTS + GATE + REPORTS + LINES + LIMITS

# Networks for the cases that need torch: tiny, each with one thing about it.
NETS = """
import time
import torch
from torch import nn

def looks():
    class Looks(nn.Module):
        def forward(self, x):
            return x * float(x.sum())
    return Looks()

def counts():
    class Counts(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(8, int(torch.ones(4).sum()))
        def forward(self, x):
            return self.layer(x)
    return Counts()

def norm():
    return nn.Sequential(nn.Flatten(), nn.Linear(192, 2), nn.BatchNorm1d(2))

class Hidden:
    def __init__(self, tensor):
        self._tensor = tensor

def hides():
    class Hides(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(8, 4)
        def forward(self, x):
            return Hidden(self.layer(x))
    return Hides()

def linear():
    return nn.Linear(8, 4)

def frozen():
    return nn.Linear(8, 4).requires_grad_(False)

def loss(output, inputs):
    return getattr(output, "_tensor", output).sum()

def slow():
    time.sleep(4)
    return nn.Linear(8, 4)
"""

WITH_TORCH = (
    Case("has no meta form ({}); pass real=True (--real) to run it",
         "cost nets:looks --input 3x8x8", r"\((?P<put>--real)\)"),
    Case("built without weights ({}); build it with them (--real, or",
         "cost nets:counts --input 8", r"\((?P<put>--real),"),
    Case("batch norm needs more than one value per channel in training; use --batch 2",
         "cost nets:norm --input 3x8x8 --phase training", r"use (?P<put>--batch 2)"),
    Case("no loss fits an output of {}; give --loss {}",
         "cost nets:hides --input 8 --phase training", r"give (?P<put>--loss \S+),",
         {"package.module:function": "nets:loss"}),
    Case("--loss {} does not fit an output of {}; leave it out, or give --loss {}",
         "cost nets:linear --input 8 --phase training --loss reconstruction",
         r"(?P<drop>--loss) reconstruction .*leave it out"),
    Case("--loss {} does not fit an output of {}; leave it out, or give --loss {}",
         "cost nets:linear --input 8 --phase training --loss reconstruction",
         r"or give (?P<put>--loss \S+),", {"package.module:function": "nets:loss"}),
    Case("nothing to train: all {} parameters of {} are frozen; choose some, such as --train head",
         "cost nets:frozen --input 8 --phase training", r"such as (?P<put>--train head)"),
    Case(_SLOW, "cost nets:slow --input 8 --timeout 1s", **_MORE),
    Case("--device {}: torch finds {} here; use --device cpu",
         "run --models lenet --device cuda:99 --rounds 1 --slices 2",
         r"use (?P<put>--device cpu)"),
)  # fmt: skip


@dataclass(frozen=True)
class Other:
    """A message that no case of the table runs.

    Attributes:
        commands: where its options must exist.
        why: the name of the test that runs it, or why none does.
    """

    commands: tuple[str, ...]
    why: str


_AGAIN = ("run", "conv", "advise", "report")
_MEASURING = ("run", "conv", "advise", "profile", "ab", "bisect")
_NETWORK = "pip fetches what is not installed"
_DESCRIBED = "describes; names nothing to do"

_TABLES = ("report", "run", "list", "cost", "conv", "compare")
OTHERS: Mapping[str, Other] = {
    "{}: timed in another environment ({}); move it away, and predict from it by --table": Other(
        ("predict", "choose"), "done in tests/cli/test_predict.py"
    ),
    "--cluster needs ray; install it with: pip install": Other(
        ("run", "conv"), "read in tests/cli/test_cluster.py"
    ),
    "install that there with: pip install": Other(
        (), "done on another host; read in tests/runner/cluster/test_contract.py"
    ),
    "with: ray start --head {}={}": Other((), "Ray's own command"),
    "is a run over many hosts; drop --{}": Other(("run",), "run in tests/cli/test_cluster.py"),
    "ray start … --resources=": Other((), "Ray's own command"),
    "let CUDA_VISIBLE_DEVICES leave one kind, or use --device {}": Other(
        ("run", "conv"), "run in tests/pretended/test_several.py"
    ),
    "torch does not say the UUIDs of the GPUs": Other(
        ("run", "conv"), "every torch that is supported says them"
    ),
    "; continue with: cnnbench run --resume": Other((), "test_an_interrupted_run_goes_on"),
    "; continue with: cnnbench choose": Other(("choose",), "said in tests/cli/test_choose.py"),
    "go on with: cnnbench choose --resume": Other(("choose",), "run in tests/cli/test_choose.py"),
    "larger weights than --memory": Other(("choose",), "what was asked for is no fault"),
    "a run of cnnbench choose": Other(("report",), "run in tests/cli/test_choose.py"),
    "; continue with: cnnbench bisect": Other(("bisect",), "run in tests/cli/test_bisect.py"),
    "--resume measures the inconclusive": Other(
        ("bisect",), "run in tests/runner/bisect/test_search.py"
    ),
    "more lines (--json has all)": Other(("bisect",), "what was left out is no fault"),
    "--unshallow --tags {}": Other((), "git's own options, run in tests/cli/test_shallow.py"),
    "git config --global --add safe": Other((), "git's own, said in tests/runner/ab/test_sides.py"),
    "bisect --structure-only between commits": Other(
        ("bisect",), "what was not asked for is no fault; run in tests/cli/test_bisect.py"
    ),
    "the column minor_faults_per_call shows it; --allocator": Other(
        ("doctor",), "both conditions are run in tests/cli/test_allocator.py"
    ),
    "Parquet needs pyarrow; install it with: pip install": Other(
        ("export",), "read in tests/cli/test_export.py"
    ),
    "{} not measured yet: cnnbench run --resume": Other(
        ("merge",), "run in tests/cli/test_merge.py"
    ),
    "the command that made the others makes it, with that --shard and another --out": Other(
        ("run",), "run in tests/test_machines.py"
    ),
    "goes on from there, and a longer --probe (3m is usual) does it at once": Other(
        ("predict",), "its option is run in tests/cli/test_predict.py"
    ),
    "caches flushed before every sample{} (--l2 cold)": Other(
        ("run",), "says what was asked for; no remedy"
    ),
    "{} not measured yet; cnnbench run --resume measures": Other(
        ("merge",), "run in tests/cli/test_merge.py"
    ),
    "come from different environments, and stay two runs": Other(
        ("merge",), "run in tests/cli/test_merge.py"
    ),
    "(--wide)": Other(_TABLES, "what was left out is no fault"),
    "only --filter and limits go with it": Other(("report",), "they are what may stay"),
    "slower than --max-latency": Other(("run",), "what is slower stays slower"),
    "see 'cnnbench doctor'": Other((), "test_a_bad_figure_leads_to_doctor"),
    "rerun with 'cnnbench --debug'": Other((), "test_an_internal_error_is_shown_whole"),
    "(cnnbench run --modes …)": Other((), "test_modes_that_advice_names_can_be_run"),
    "started anew with --threads 1": Other(_MEASURING, "test_a_busy_machine_is_waited_for"),
    "start anew with --threads {}": Other(_MEASURING, "test_fewer_threads_are_taken"),
    "plot needs {}; install it with: pip install": Other((), _NETWORK),
    "leave real=True out": Other((), "run in Python: tests/analysis/test_failures.py"),
    "which calls those that reach the network alone": Other(
        ("cost",), "run in Python: tests/analysis/test_side_effects.py"
    ),
    "or use cnnbench.measure, which measures in": Other((), "a call in a program of the user's"),
    "no --input given: {} assumed": Other(("cost", "run"), _DESCRIBED),
    "repeat on a quiet machine, or with more --seconds": Other(
        ("profile",), "how quiet a machine is cannot be commanded"
    ),
    "needs {}; install it with: pip install": Other((), "read in tests/test_deployment.py"),
    "(cnnbench advise --deploy)": Other(("advise",), "run in tests/cli/test_advise.py"),
    "pictures need {}; install it with: pip install": Other(
        (), "test_what_is_to_be_installed_is_declared"
    ),
    "raise --timeout": Other(("conv", "selftest"), "the fake worker hangs for networks alone"),
    # What a table says about times: they are measured again, with another command line.
    "(--wait 10m)": Other(_MEASURING, "how quiet a machine is cannot be commanded"),
    "measure more rounds (--rounds": Other(_AGAIN[:3], "more rounds never fail"),
    "with --threads 1 the waiting can": Other(_MEASURING, "waiting cannot be commanded"),
    "--threads 1 or a quiet machine": Other(_MEASURING, "waiting cannot be commanded"),
    "use more --rounds or a larger": Other(("advise", "conv"), "more rounds never fail"),
    "more --rounds may decide it": Other(("advise",), "more rounds never fail"),
    "use --threads {}, or work is": Other(_MEASURING, "no quota of a control group in a test"),
    "unset it and say --threads": Other(_MEASURING, "a variable that is not set spoils nothing"),
    "(ab --core {}, or taskset": Other(("ab",), "no hyperthreads in a test"),
    "side by side: cnnbench ab.": Other((), "how to read a page, not what to do about an error"),
    # Errors of the Python API, and such as only other machines have.
    "; pass real=True (--real) to run on real": Other(("cost",), "test_real_tensors_are_run"),
    "a quantised tensor has no meta form": Other(("cost",), "test_real_tensors_are_run"),
    "drop it, or use cnnbench.run": Other((), "the call is read, see the tests of calls"),
    "cnnbench.run('{}') takes names": Other((), "the call is read, see the tests of calls"),
    "cnnbench.run with 'package.module:": Other((), "the call is read, see the tests of calls"),
    "fvcore is not installed": Other((), _NETWORK),
    "'timm:' names need timm": Other((), _NETWORK),
    "pynvml is not installed": Other((), _NETWORK),
    "needs the package safetensors": Other((), _NETWORK),
    "cnnbench {} --resume {}": Other(("run",), "run in tests/cli/test_choose.py"),
    "by cnnbench choose --resume": Other(("choose",), "run in tests/cli/test_choose.py"),
    # No remedies.
    "; --memory was held against weights alone": Other((), "what was not looked at"),
    "{} --dir={} --dt={} --stag={}": Other((), "benchdnn's own options"),
    "only --conv and --deconv are measured, not --{}": Other((), "benchdnn's own options"),
    "--dir={} is not one measured pass": Other((), "benchdnn's own options"),
    "needs a unit with a batch norm (--unit conv+bn+relu)": Other((), "what does not apply"),
    "no --{}": Other((), "benchdnn's own options"),
    "is measured, not --{}={}": Other((), "benchdnn's own options"),
    "which 'cnnbench check --out DIR' leaves": Other((), "what a directory should hold"),
    ":latency={}%' can": Other(("check",), "run in tests/cli/test_check.py"),
    "(--wide says why)": Other(("conv",), "run in tests/cli/test_conv.py"),
    "too slow unless named with --impl": Other(("conv",), "the same is run of --dry-run"),
    "eager's top-1 class; with --images": Other(("run",), _DESCRIBED),
    "a share of; with --images": Other(("run",), _DESCRIBED),
    "with --images DIR of one folder per class": Other(("run",), _DESCRIBED),
    "without --images of labelled pictures": Other(("run",), _DESCRIBED),
    "was given (--images); empty": Other(("run",), _DESCRIBED),
    "with --energy: joules per sample": Other(("run",), _DESCRIBED),
    "without --energy, or where": Other(("run",), _DESCRIBED),
    "with --cold-start: a fresh process": Other(("run",), _DESCRIBED),
    "without --cold-start": Other(("run",), _DESCRIBED),
    ", every picture of --images": Other(("run",), _DESCRIBED),
}
