"""Questions about architectures, asked of a real worker process through the real command."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from cnnbench import store
from cnnbench.spec import Spec
from cnnbench.worker import build

FAULTS = Path(__file__).parents[1] / "faults"


def cost(*words: str, expect: int = 0) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, "-m", "cnnbench", "cost", *words],
        capture_output=True, text=True, cwd=FAULTS, check=False,
    )  # fmt: skip
    assert done.returncode == expect, done.stderr
    return done


def test_totals_of_real_networks() -> None:
    lenet, resnet, own = json.loads(
        cost("lenet", "resnet18", "bad_networks:fine", "--json", "--batch", "2").stdout
    )

    assert (lenet["params"], lenet["macs"]) == (62_006, 2 * 651_720)
    assert (resnet["params"], resnet["macs"]) == (11_689_512, 2 * 1_814_073_344)
    assert own["name"] == "bad_networks:fine"
    assert own["input"] == [[2, 3, 224, 224]]
    assert lenet["uncounted"] == {}
    assert lenet["memory_peak_bytes"] > 4 * 62_006


@pytest.mark.parametrize("phase", ["training", "finetune"])
def test_cost_predicts_what_a_run_keeps_of_the_same_workload(phase: str, tmp_path: Path) -> None:
    """Without an option, both are about the same optimizer."""
    subprocess.run(
        [sys.executable, "-m", "cnnbench", "run", "--models", "lenet,bad_networks:fine",
         "--batch", "2", "--phase", phase, "--modes", "eager", "--device", "cpu",
         "--threads", "1", "--rounds", "1", "--quiet", "--out", str(tmp_path / "run")],
        capture_output=True, cwd=FAULTS, check=True,
    )  # fmt: skip
    models = ("lenet", "bad_networks:fine", "resnet18")
    facts = json.loads(cost(*models, "--batch", "2", "--phase", phase, "--json").stdout)

    kept = [record.cost for record in store.read(tmp_path / "run").records]
    # What a worker of a run is asked for, without measuring a large network.
    large = Spec.parse(f"resnet18/{phase}-b2-3x224x224/eager/cpu-t1")
    kept.append(build.counted(large.workload, 0).cost())
    for one, stored in zip(facts, kept, strict=True):
        assert {name: one[name] for name in SHARED} == {
            name: getattr(stored, name) for name in SHARED
        }


SHARED = ("params", "trainable_params", "buffers", "macs", "training_macs", "memory_peak_bytes",
          "activation_peak_bytes", "uncounted", "auxiliary_params")  # fmt: skip


def test_layers_add_up_to_the_total_and_variants_change_it() -> None:
    (facts,) = json.loads(
        cost("vgg_cifar", "--layers", "--json", "--classes", "5", "--in-channels", "1").stdout
    )

    leaves = [row for row in facts["layers"] if row["leaf"]]
    assert sum(row["macs"] for row in leaves) == facts["macs"]
    assert sum(row["params"] for row in leaves) == facts["params"]
    # The lecture's network with one input channel and five classes.
    assert facts["params"] == 9_750_922 - 2 * 9 * 64 - 5 * 513


def test_training_counts_the_backward_pass_and_the_optimisers_state() -> None:
    sgd, adam = (
        json.loads(cost("lenet", "--phase", "training", "--optimizer", name, "--json").stdout)[0]
        for name in ("sgd", "adam")
    )

    # Every layer twice more, but the first without a gradient for the network's input.
    first = 6 * 28 * 28 * 3 * 25
    assert sgd["training_macs"] == 3 * sgd["macs"] - first
    assert sgd["memory"]["optimizer_state"] == 0
    assert adam["memory"]["optimizer_state"] == 2 * 4 * 62_006


def test_the_loss_that_is_asked_for_is_the_one_that_is_counted() -> None:
    done = cost("lenet", "--phase", "training", "--loss", "json:dumps", expect=2)

    assert "the loss failed, not the network: json:dumps" in done.stderr


def test_a_cross_check_explains_every_difference() -> None:
    (facts,) = json.loads(cost("cifar_cnn", "--cross-check", "--json").stdout)

    by_torch, by_fvcore = facts["crosschecks"]
    assert by_torch["ours"] == by_torch["theirs"] == 137_729_024
    assert by_fvcore["explained"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["lenet", "--size", "16"], ["layer", "smallest", "32x32"]),
        (["resnet18", "--input", "1x64x64"], ["conv1", "expected 3 channels", "(1, 1, 64, 64)"]),
        (["bad_networks:raises_in_construction"], ["no weights today"]),
        (["bad_networks:not_a_module"], ["int", "torch.nn.Module"]),
        (["lenet", "--model-arg", "depth=3"], ["depth"]),
    ],
)
def test_what_cannot_be_counted_says_where_and_why_in_one_line(
    words: list[str], said: list[str]
) -> None:
    done = cost(*words, expect=2)

    (line,) = done.stderr.strip().splitlines()
    assert all(word in line for word in said), line


def test_a_network_that_needs_values_names_the_operator_and_counts_with_real() -> None:
    words = ["bad_networks:NeedsValues", "--input", "3x16x16"]

    refused = cost(*words, expect=2).stderr
    (facts,) = json.loads(cost(*words, "--real", "--json").stdout)

    assert "aten." in refused
    assert "--real" in refused
    assert "smallest" not in refused
    assert facts["macs"] == 14 * 14 * 4 * 27 + 4 * 10
    assert facts["real"]


def test_an_operator_without_a_rule_is_listed_and_the_total_called_short() -> None:
    words = ["bad_networks:UnknownOperator", "--input", "3x16x16"]

    (facts,) = json.loads(cost(*words, "--json").stdout)
    table = cost(*words).stdout

    assert facts["uncounted"] == {"badlib.twice.default": 1}
    assert not facts["complete"]
    assert "totals may be too low" in table


def test_a_rule_of_the_users_own_is_one_line_beside_the_operator() -> None:
    words = ["bad_networks:fine", "bad_networks:OperatorWithRule", "--input", "3x16x16", "--json"]

    fine, ruled = json.loads(cost(*words).stdout)

    assert ruled["macs"] - fine["macs"] == 10
    assert ruled["uncounted"] == {}


def test_a_model_that_fails_costs_its_own_row_only() -> None:
    done = cost("lenet", "bad_networks:raises_in_construction", "--json", expect=3)

    good, bad = json.loads(done.stdout)
    assert good["macs"] == 651_720
    assert "no weights today" in bad["error"]
