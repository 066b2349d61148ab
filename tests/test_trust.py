"""What a file may have built: the catalogue, the user's own, and what the user allows."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from cnnbench import trust
from cnnbench.errors import UsageError
from cnnbench.spec import Device, Mode, Spec, Workload, arguments_of

if TYPE_CHECKING:
    from cnnbench.spec import Phase

NETS = """
import os
import subprocess as hidden
from functools import partial
from os import system
from torchvision.models import resnet18
from .deep import deep as renamed
from .deep import *
from pkg.deep import Other
from . import deep

def tiny(width=8):
    return None

class Outer:
    class Inner:
        pass
    run = os.system
    def made(self):
        pass

half = partial(tiny, width=4)
small = lambda: tiny(4)
shell = os.system
if True:
    def chosen():
        pass
try:
    import fast
except ImportError:
    def slow():
        pass
raise SystemExit("a module that is only read does not get here")
"""
DEEP = "def deep():\n    pass\n\nclass Other:\n    pass\n\ndef starred():\n    pass\n"


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working tree with the user's networks; it is the current directory."""
    root = tmp_path / "repo"
    (root / "pkg").mkdir(parents=True)
    (root / ".git").mkdir()
    (root / "pkg" / "__init__.py").write_text("")
    (root / "pkg" / "nets.py").write_text(NETS)
    (root / "pkg" / "deep.py").write_text(DEEP)
    (root / "baseline.json").write_text("{}")
    monkeypatch.chdir(root)
    return root


def spec(name: str, **arguments: object) -> str:
    workload = Workload(name, 1, (3, 8, 8), arguments=arguments_of(arguments.items()))
    return Spec(workload, Mode(), Device(), 1).id


def refused(file: Path, *names: str, allowed: tuple[str, ...] = ()) -> str:
    """The message of the refusal; empty if all of them may be built."""
    try:
        trust.specs(names, file, allowed)
    except UsageError as error:
        return str(error)
    return ""


@pytest.mark.parametrize(
    "name",
    [
        "lenet",
        "an_entry_point",
        "timm:resnet18",
        "conv:k64-3x3-p1",
        "activation:leaky_relu",
        "pkg.nets:tiny",
        "pkg.nets:Outer",
        "pkg.nets:Outer.Inner",
        "pkg.nets:half",
        "pkg.nets:small",
        "pkg.nets:chosen",
        "pkg.nets:slow",
        "pkg.nets:renamed",
        "pkg.nets:starred",
        "pkg.nets:Other",
    ],
)
def test_the_users_own_and_what_is_known_is_built(tree: Path, name: str) -> None:
    assert refused(tree / "baseline.json", spec(name)) == ""
    assert [one.workload.architecture for one in trust.specs([spec(name)], tree / "b")] == [name]


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("subprocess:getoutput", "'subprocess' lies outside"),
        ("os:system", "'os' lies outside"),
        ("activation:system", "'activation' lies outside"),
        ("torch.hub:load", "'torch.hub' lies outside"),
        ("pip._internal:main", "'pip._internal' lies outside"),
        ("pkg.gone:tiny", "'pkg.gone' lies outside"),
        ("pkg.nets:system", "'system' is not defined"),
        ("pkg.nets:os.system", "'os.system' is not defined"),
        ("pkg.nets:hidden.getoutput", "'hidden.getoutput' is not defined"),
        ("pkg.nets:resnet18", "'resnet18' is not defined"),
        ("pkg.nets:shell", "'shell' is not defined"),
        ("pkg.nets:Outer.run", "'Outer.run' is not defined"),
        ("pkg.nets:tiny.__globals__.clear", "is not defined"),
        ("pkg.nets:deep.__class__", "is not defined"),
        ("pkg.nets:half.func", "is not defined"),
    ],
)
def test_other_code_is_refused_with_what_allows_it(tree: Path, name: str, why: str) -> None:
    said = refused(tree / "baseline.json", spec("lenet"), spec(name))

    assert said.startswith(f"{tree}/baseline.json names '{name}': that is code, and ")
    assert why in said
    assert said.endswith(f"so nothing is built; if you trust it, add --allow {name}")
    assert refused(tree / "baseline.json", spec(name), allowed=(name,)) == ""
    assert refused(tree / "baseline.json", spec(name), allowed=("other:*",)) == said


@pytest.mark.parametrize(
    "name",
    [
        "timm:hf-hub:a/b",
        "timm:local-dir:x",
        "timm:resnet18.a/b",
        "::error::x",
        "a:b;touch x",
        "a:$(touch x)",
        "a b:c",
        "pkg/nets:tiny",
        "é:tiny",
        "a:",
    ],
)
def test_what_is_no_name_is_refused_and_not_offered(tree: Path, name: str) -> None:
    said = refused(tree / "baseline.json", spec(name))

    assert said.endswith("that is not the name of a model, so nothing is built")


def test_results_of_other_tools_cannot_be_built(tree: Path) -> None:
    said = refused(tree / "baseline.json", spec("imported:os"))

    assert said.endswith("a result of another tool cannot be measured here, so nothing is built")


PLAIN = "import os\n\ndef tiny(net):\n    return net.eval()\n"


@pytest.mark.parametrize(
    "line",
    [
        "", "gone.x = 1", "from os import *", "import os as gone", "import gone.deep",
        "def gone(): pass", "def __getattr__(name): return os.system", "globals()",
        "locals()['go' + 'ne'] = os.system", "import sys; sys.modules[__name__]",
        "from sys import modules as m", "import pkg.plain as me; me.gone = os.system",
        "from builtins import exec as run", "import builtins as b", "os.__dict__",
    ],
)  # fmt: skip
def test_what_no_line_of_a_file_can_mean_is_left_to_fail(tree: Path, line: str) -> None:
    (tree / "pkg" / "plain.py").write_text(PLAIN + line + "\n")
    where = tree / "baseline.json"

    assert refused(where, spec("pkg.plain:tiny")) == ""
    assert bool(refused(where, spec("pkg.plain:gone"))) == (line not in {"", "def gone(): pass"})
    assert refused(where, spec("pkg.plain:gone.inner"))


def test_nothing_is_imported_to_find_that_out(tree: Path) -> None:
    (tree / "pkg" / "__init__.py").write_text("raise SystemExit")

    assert refused(tree / "baseline.json", spec("pkg.nets:tiny")) == ""
    assert not {"pkg", "pkg.nets"} & sys.modules.keys()


def test_a_file_from_elsewhere_does_not_choose_among_the_users_functions(
    tree: Path, tmp_path: Path
) -> None:
    said = refused(tmp_path / "downloads" / "baseline.json", spec("pkg.nets:tiny"))

    assert "the file lies outside of this working tree" in said
    assert "--allow pkg.nets:tiny" in said


def test_a_link_does_not_bring_a_file_or_a_module_in(tree: Path, tmp_path: Path) -> None:
    other = tmp_path / "elsewhere"
    other.mkdir()
    (other / "evil.py").write_text("def net():\n    pass\n")
    (tree / "evil.py").symlink_to(other / "evil.py")
    (tree / "linked").symlink_to(other)

    assert "'evil' lies outside" in refused(tree / "baseline.json", spec("evil:net"))
    assert "'linked.evil' lies" in refused(tree / "baseline.json", spec("linked.evil:net"))
    assert "the file lies outside" in refused(tree / "linked" / "run", spec("pkg.nets:tiny"))


def test_a_repository_inside_the_working_tree_is_another_one(tree: Path) -> None:
    inner = tree / "vendor"
    (inner / ".git").mkdir(parents=True)
    (inner / "evil.py").write_text("def net():\n    pass\n")

    assert "the file lies outside" in refused(inner / "baseline.json", spec("pkg.nets:tiny"))
    assert "'vendor.evil' lies outside" in refused(tree / "baseline.json", spec("vendor.evil:net"))


def test_installed_packages_inside_the_working_tree_are_not_its_own(
    tree: Path, monkeypatch
) -> None:
    site = tree / "env" / "site-packages"
    site.mkdir(parents=True)
    (site / "installed.py").write_text("def net():\n    pass\n")
    monkeypatch.setenv("PYTHONPATH", str(site))

    assert "'installed' lies outside" in refused(tree / "baseline.json", spec("installed:net"))


def test_a_run_directory_does_not_bring_its_code_along(tree: Path, monkeypatch) -> None:
    run = tree / "results" / "run"
    run.mkdir(parents=True)
    (run / "evil.py").write_text("def net():\n    pass\n")

    assert "lies outside" in refused(run, spec("results.run.evil:net"))
    monkeypatch.chdir(run)
    assert "lies outside" in refused(Path(), spec("evil:net"))
    assert refused(Path(), spec("pkg.nets:tiny")) == ""


def test_networks_below_src_and_outside_of_git_are_found(tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "nets.py").write_text("def tiny():\n    pass\n")
    monkeypatch.chdir(tmp_path)

    assert refused(tmp_path / "baseline.json", spec("nets:tiny")) == ""
    assert "the file lies outside" in refused(tmp_path.parent / "b.json", spec("nets:tiny"))


@pytest.mark.parametrize(
    "broken", [b"def tiny(:\n", b"\0", b"\xff\xfe", b"(" * 5000, b"from .nets import tiny\n"]
)
def test_a_source_that_cannot_be_read_defines_nothing(tree: Path, broken: bytes) -> None:
    (tree / "pkg" / "nets.py").write_bytes(broken)

    assert "'tiny' is not defined" in refused(tree / "baseline.json", spec("pkg.nets:tiny"))


@pytest.mark.parametrize(
    "value", [1, -2.5, True, None, "relu", "v1.0+x", "", [1, [2, 3]], ["a", None]]
)
def test_numbers_plain_words_and_lists_are_arguments(tree: Path, value: object) -> None:
    assert refused(tree / "baseline.json", spec("pkg.nets:tiny", width=value)) == ""
    assert refused(tree / "baseline.json", spec("lenet", width=value)) == ""


@pytest.mark.parametrize(
    "arguments",
    [
        {"width": {"_target_": "os.system"}},
        {"width": [[{"a": 1}]]},
        {"width": "touch x"},
        {"width": "../x.pth"},
        {"width": "x" * 65},
        {"width": 1 << 60},
        {"width": [[[[[1]]]]]},
        {"width": [1] * 5000},
    ],
)
@pytest.mark.parametrize("name", ["lenet", "timm:resnet18", "pkg.nets:tiny"])
def test_other_arguments_are_refused_unless_the_model_is_allowed(
    tree: Path, name: str, arguments: dict[str, object]
) -> None:
    (key,) = arguments
    said = refused(tree / "baseline.json", spec(name, **arguments))

    assert f"its argument '{key}' is more than numbers and plain words" in said
    assert said.endswith(f"add --allow {name}")
    assert refused(tree / "baseline.json", spec(name, **arguments), allowed=(name,)) == ""


@pytest.mark.parametrize(
    "arguments",
    [
        {"weights_backbone": "DEFAULT"},
        {"weights_backbone": True},
        {"pretrained": 1},
        {"checkpoint_path": "evil"},
        {"pretrained_cfg": ["evil"]},
    ],
)
def test_arguments_that_load_or_download_are_refused(tree: Path, arguments) -> None:
    (key,) = arguments

    said = refused(tree / "baseline.json", spec("fcn_resnet50", **arguments))

    assert f"its argument '{key}' may load or download something" in said
    assert refused(tree / "baseline.json", spec("fcn_resnet50", **{key: False})) == ""


@pytest.mark.parametrize("text", ["NaN", "Infinity", "[" * 2000, "{", ""])
def test_an_argument_that_is_no_json_is_refused(tree: Path, text: str) -> None:
    workload = Workload("lenet", 1, (3, 8, 8), arguments=(("width", text),))

    said = refused(tree / "baseline.json", Spec(workload, Mode(), Device(), 1).id)

    assert "its argument 'width' is more than" in said


def test_many_models_are_counted_and_offered_module_by_module(tree: Path) -> None:
    names = [spec(f"other.nets:net{number}") for number in range(9)]

    said = refused(tree / "baseline.json", *names)

    assert "names 'other.nets:net0' (and 8 more)" in said
    assert said.endswith("add --allow 'other.nets:*'")
    words = shlex.split(trust.options(names, tree / "baseline.json"))
    assert refused(tree / "baseline.json", *names, allowed=tuple(words[1::2])) == ""


def test_a_loss_that_a_file_names_is_code_like_a_model(tree: Path) -> None:
    def trained(loss: str) -> str:
        workload = Workload("lenet", 1, (3, 32, 32), "training", settings=(("loss", loss),))
        return Spec(workload, Mode(), Device(), 1).id

    baseline = tree / "baseline.json"

    assert trust.specs([trained("pkg.nets:tiny"), trained("mse")], baseline)
    with pytest.raises(UsageError, match=r"names 'subprocess:getoutput'.*--allow"):
        trust.specs([trained("subprocess:getoutput")], baseline)
    assert trust.specs([trained("subprocess:getoutput")], baseline, ["subprocess:*"])


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("loss", "subprocess:getoutput"),
        ("loss", "antigravity:x!"),
        ("loss", "timm:models"),
        ("input_factory", "antigravity.:x"),
        ("input_factory", "timm:models.os.abort"),
        ("unheard_of", "1"),
    ],
)
@pytest.mark.parametrize("phase", ["inference", "training"])
def test_a_setting_that_is_no_name_of_code_reaches_no_worker(
    tree: Path, name: str, value: str, phase: Phase
) -> None:
    workload = Workload("lenet", 1, (1, 28, 28), phase, settings=((name, value),))

    said = refused(tree / "baseline.json", Spec(workload, Mode(), Device(), 1).id)

    assert said.startswith(f"{tree}/baseline.json")


PLAIN = "from subprocess import getoutput\n\n\ndef tiny():\n    return None\n"


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ("", ""),
        ("old_one = 1\n", ""),
        ("from os import *\n", "'old' is not defined"),
        ("from os import system as old\n", "'old' is not defined"),
        ("import old\n", "'old' is not defined"),
        ("old = getoutput\n", "'old' is not defined"),
        ("for old in (getoutput,):\n    pass\n", "'old' is not defined"),
        ("def __getattr__(name):\n    return getoutput\n", "'old' is not defined"),
        ("globals().update(old=getoutput)\n", "'old' is not defined"),
        ("import sys\nsys.modules[__name__] = sys\n", "'old' is not defined"),
    ],
)
def test_a_network_that_is_gone_is_a_row_and_no_question_of_trust(
    tree: Path, more: str, why: str
) -> None:
    (tree / "pkg" / "plain.py").write_text(PLAIN + more)

    said = refused(tree / "baseline.json", spec("pkg.plain:tiny"), spec("pkg.plain:old"))

    assert (why in said) if why else said == ""
    assert "is not defined" in refused(tree / "baseline.json", spec("pkg.plain:getoutput"))
    # Of a part of something that is not there nothing is known.
    assert "is not defined" in refused(tree / "baseline.json", spec("pkg.plain:gone.system"))
