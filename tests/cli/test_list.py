from __future__ import annotations

import json

import pytest

from cnnbench import catalogue


def test_the_columns_are_names_family_task_year_input_and_numbers(cnnbench_cli) -> None:
    header = cnnbench_cli("list", "lenet", "--wide").stdout.splitlines()[0]

    words = "name family task year input params MACs depth top-1 % top-5 % weights paper"
    assert header.split() == words.split()


def test_without_a_pattern_everything_is_listed(cnnbench_cli) -> None:
    result = cnnbench_cli("list", "--names")

    assert result.stdout.split() == [entry.name for entry in catalogue.entries()]


def test_the_count_stands_below(cnnbench_cli) -> None:
    text = cnnbench_cli("list", "resnet*").stdout

    number = len(catalogue.select(["resnet*"]))
    assert f"{number} architectures" in text.splitlines()
    assert number > 3


def test_json_has_every_field(cnnbench_cli) -> None:
    (row,) = json.loads(cnnbench_cli("list", "resnet18", "--json").stdout)

    assert (row["name"], row["family"], row["params"]) == ("resnet18", "ResNet", 11_689_512)
    assert row["input"] == [3, 224, 224]


def test_macs_are_those_that_cost_counts(cnnbench_cli) -> None:
    """The catalogue's test counts every architecture; this one asks both commands."""
    pytest.importorskip("torchvision")
    names = ["lenet", "mobilenet_v3_small", "maskrcnn_resnet50_fpn_v2", "r3d_18", "raft_small"]

    listed = json.loads(cnnbench_cli("list", *names, "--json").stdout)
    counted = json.loads(cnnbench_cli("cost", *names, "--json").stdout)

    facts = [{key: one[key] for key in ("name", "params", "macs")} for one in listed]
    assert facts == [{key: one[key] for key in ("name", "params", "macs")} for one in counted]
    assert {one["name"]: one["published_macs"] for one in listed} == {
        "lenet": None, "mobilenet_v3_small": 57_000_000,
        "maskrcnn_resnet50_fpn_v2": 333_577_000_000, "r3d_18": 40_697_000_000,
        "raft_small": 47_655_000_000,
    }  # fmt: skip


def test_accuracies_stand_beside_the_recipe_that_they_belong_to(cnnbench_cli) -> None:
    names = ["resnet50", "vgg16", "lenet", "xception", "quantized_resnet18"]

    rows = json.loads(cnnbench_cli("list", *names, "--json").stdout)
    table = cnnbench_cli("list", "resnet50", "--wide").stdout

    assert [(row["top1"], row["top5"], row["weights"]) for row in rows] == [
        (80.858, 95.434, "IMAGENET1K_V2"),
        (71.592, 90.382, "IMAGENET1K_V1"),
        (None, None, None),
        (79.0, None, None),
        (69.758, 89.078, "IMAGENET1K_V1"),
    ]
    assert table.splitlines()[2].split()[-4:] == ["80.9", "95.4", "IMAGENET1K_V2", rows[0]["paper"]]


@pytest.mark.parametrize("pattern", ["tag:quick", "family:ResNet", "family:resnet", "vgg1?"])
def test_patterns_choose(cnnbench_cli, pattern: str) -> None:
    result = cnnbench_cli("list", pattern, "--names")

    assert result.stdout.split() == list(catalogue.select([pattern]))


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        ("resnet19", "unknown architecture 'resnet19'; did you mean resnet1"),
        ("tag:quik", "unknown tag 'quik'; did you mean quick?"),
        ("family:vgggg", "unknown family 'vgggg'; did you mean VGG?"),
        ("pkg.nets:tiny", "unknown architecture 'pkg.nets:tiny'"),
    ],
)
def test_an_unknown_name_is_one_line(cnnbench_cli, pattern: str, text: str) -> None:
    result = cnnbench_cli("list", pattern)

    assert (result.exit_code, result.stdout, result.stderr.count("\n")) == (2, "", 1)
    assert text in result.stderr


# Input and parameters; the larger picture has more places, each with 192 numbers.
VIT_TINY = {
    "timm:vit_tiny_patch16_224": ([3, 224, 224], 5_717_416),
    "timm:vit_tiny_patch16_384": ([3, 384, 384], 5_717_416 + (24**2 - 14**2) * 192),
}


@pytest.mark.torch
def test_a_glob_of_timms_names_lists_their_inputs_and_parameters(cnnbench_cli) -> None:
    pytest.importorskip("timm")

    rows = json.loads(cnnbench_cli("list", "timm:vit_tiny_patch16_*4", "lenet", "--json").stdout)

    *found, last = [(row["name"], row["input"], row["params"]) for row in rows]
    assert found == [(name, *facts) for name, facts in VIT_TINY.items()]
    assert last[0] == "lenet"
    assert {(row["macs"], row["top1"]) for row in rows[:-1]} == {(None, None)}


@pytest.mark.torch
def test_names_of_timm_are_printed_once_without_building(cnnbench_cli) -> None:
    pytest.importorskip("timm")

    done = cnnbench_cli("list", "timm:vit_tiny_patch16_224", "timm:vit_tiny_patch16_??4", "--names")

    assert done.stdout.split() == list(VIT_TINY)


@pytest.mark.torch
def test_a_glob_with_a_dot_selects_among_names_with_the_tag_of_their_weights(cnnbench_cli) -> None:
    pytest.importorskip("timm")

    rows = json.loads(cnnbench_cli("list", "timm:resnet50.a[13]_in1k", "--json").stdout)

    assert [(row["name"], row["input"]) for row in rows] == [
        ("timm:resnet50.a1_in1k", [3, 224, 224]),
        ("timm:resnet50.a3_in1k", [3, 160, 160]),
    ]


@pytest.mark.torch
@pytest.mark.parametrize("command", [["list"], ["cost"], ["run", "--models"]])
@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        ("timm:resnt50*", "unknown timm model 'resnt50*'; did you mean resnet50"),
        ("timm:resnet5d", "unknown timm model 'resnet5d'; did you mean resnet50d"),
    ],
)
def test_what_timm_does_not_have_is_one_line_with_the_nearest(
    cnnbench_cli, command: list[str], pattern: str, text: str
) -> None:
    pytest.importorskip("timm")

    done = cnnbench_cli(*command, pattern)

    assert (done.exit_code, done.stdout) == (2, "")
    assert text in done.stderr.splitlines()[-1]


def test_a_name_of_timm_asks_a_worker_and_others_do_not(cnnbench_cli) -> None:
    made_up = cnnbench_cli("list", "timm:any*", "--names", "--executor", "fake")
    nobody = cnnbench_cli("list", "lenet", "--names", "--executor", "no such executor")

    assert made_up.stdout.split() == ["timm:any_a", "timm:any_b"]
    assert nobody.stdout == "lenet\n"


def names(cnnbench_cli, *words: str) -> list[str]:
    done = cnnbench_cli("list", *words, "--names")
    assert done.exit_code == 0, done.output
    return done.stdout.split()


@pytest.mark.parametrize(
    ("condition", "fits"),
    [
        ("task=segmentation", lambda row: row.task == "segmentation"),
        ("top1>75 macs<1G", lambda row: (row.top1 or 0) > 75 and (row.macs or 1e9) < 1e9),
        ("tag=mobile", lambda row: "mobile" in row.tags),
        ("tag!=torchvision", lambda row: "torchvision" not in row.tags),
        ("tag~quanti year>=2018", lambda row: "quantizable" in row.tags and row.year >= 2018),
        ("top1=- input=3x224x224", lambda row: row.top1 is None and row.input == (3, 224, 224)),
    ],
)
def test_a_filter_keeps_the_rows_that_fit(cnnbench_cli, condition: str, fits) -> None:
    expected = [row.name for row in catalogue.entries() if fits(row)]

    assert expected
    assert names(cnnbench_cli, "--filter", condition) == expected


def test_rows_are_sorted_and_missing_values_come_last(cnnbench_cli) -> None:
    rows = {row.name: row for row in catalogue.entries()}

    up = [rows[one].top1 for one in names(cnnbench_cli, "--sort", "top1")]
    down = [rows[one].macs or 0 for one in names(cnnbench_cli, "--sort", "-macs")]

    known = [one for one in up if one is not None]
    assert up == [*sorted(known), *[None] * (len(up) - len(known))]
    assert len(known) < len(up)
    assert down == sorted(down, reverse=True)


def test_columns_are_shown_in_the_order_wanted(cnnbench_cli) -> None:
    done = cnnbench_cli("list", "mobilenet_v2", "--columns", "top1,name,tag", "--format", "csv")

    assert done.stdout.splitlines()[0] == "top1,name,tag"
    assert "mobilenet_v2" in done.stdout
    assert "mobile" in done.stdout.splitlines()[1].split(",", 2)[2]


def test_nothing_that_fits_is_said_and_one_is_no_plural(cnnbench_cli) -> None:
    none = cnnbench_cli("list", "resnet*", "--filter", "top1>99").stdout.splitlines()
    one = cnnbench_cli("list", "lenet").stdout.splitlines()

    assert "none of 12 architectures matches the filter top1>99" in none
    assert "1 architecture" in one


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--sort", "tp1"], "unknown column 'tp1'; did you mean top1"),
        (["--columns", "nam"], "unknown column 'nam'; did you mean name"),
        (["--filter", "macs<1Q"], "'1Q' is not a number with one of k M G T"),
        (["--filter", "latency<1ms"], "unknown column 'latency'"),
        (["--columns", "name", "--json"], "so --columns would do nothing; drop --columns"),
    ],
)
def test_a_wrong_column_or_filter_is_one_line(cnnbench_cli, words: list[str], said: str) -> None:
    done = cnnbench_cli("list", *words)

    assert (done.exit_code, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert said in done.stderr


def test_networks_for_activation_functions_are_listed_where_they_are_asked_for(
    cnnbench_cli,
) -> None:
    shown = cnnbench_cli("list", "activation:*relu*", "--names")

    assert shown.output.split() == [
        f"activation:{name}" for name in ("relu", "relu_in_place", "leaky_relu", "prelu")
    ]
    assert "activation:" not in cnnbench_cli("list", "--names").output
