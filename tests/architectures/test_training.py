"""Which parameters a step trains: heads, stages, names, new layers, and what was frozen already."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from cnnbench import architectures
from cnnbench.architectures import training
from cnnbench.architectures.meta import on_meta
from cnnbench.architectures.training import CHANNELS, CLASSES, Training
from cnnbench.errors import UnknownName, Unsupported, UsageError

CATALOGUE = architectures.catalogue()


def built(name: str, **arguments) -> nn.Module:
    return on_meta(architectures.build, CATALOGUE[name], **arguments)


def trainable(module: nn.Module) -> list[str]:
    return [path for path, parameter in module.named_parameters() if parameter.requires_grad]


def small() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 6, 3), nn.Flatten(),
        nn.Linear(96, 5),
    )  # fmt: skip


def test_the_head_alone() -> None:
    module = built("resnet18", num_classes=5)

    assert Training("head").choose(module) == "fc"
    assert trainable(module) == ["fc.weight", "fc.bias"]
    assert module.fc.out_features == 5


def test_auxiliary_heads_are_heads_as_well() -> None:
    module = built("inception_v3", num_classes=5)

    assert Training(finetune=True).choose(module) == "AuxLogits.fc, fc"


@pytest.mark.parametrize(
    ("name", "last"),
    [
        ("resnet18", [["layer3"], ["layer4"]]),
        ("vgg16", [["classifier.0"], ["classifier.3"]]),
        ("densenet121", [["features.transition3"], ["features.denseblock4", "features.norm5"]]),
        ("mobilenet_v2", [["features.17"], ["features.18"]]),
        ("lenet", [["7"], ["9"]]),
        ("inception_v3", [["Mixed_7b"], ["Mixed_7c"]]),
        ("vit_b_16", [["encoder.layers.encoder_layer_10"],
                      ["encoder.layers.encoder_layer_11", "encoder.ln"]]),
    ],
)  # fmt: skip
def test_stages_end_before_the_head(name: str, last: list[list[str]]) -> None:
    assert training.stages(built(name))[-2:] == last


def test_the_last_stages_with_the_head() -> None:
    module = built("resnet18")

    assert Training("last=2").choose(module) == "layer3, layer4, fc"


def test_more_stages_than_there_are() -> None:
    with pytest.raises(UsageError, match=r"last=6: ResNet has 5 stages .*\(conv1, layer1"):
        Training("last=6").choose(built("resnet18"))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("3", "3"),
        ("*.bias", "0.bias, 1.bias, 3.bias, 5.bias"),
        ("0,head", "0, 5"),
        ("[03]", "0, 3"),
        ("[0-9]", "everything"),
        ("[!0]*", "all but 0"),
        ("all", "everything"),
        ("own", "everything"),
    ],
)
def test_names_and_globs_of_modules_and_parameters(text: str, said: str) -> None:
    module = small()

    assert Training(text).choose(module) == said == training.described(module)


def test_a_name_that_is_none_suggests_others() -> None:
    with pytest.raises(UnknownName, match="parameter 'layr4'; did you mean layer4"):
        Training("fc,layr4").choose(built("resnet18"))
    with pytest.raises(UnknownName, match=r"parameter 'haed'; did you mean head\?"):
        Training("haed").choose(small())


def partly_frozen() -> nn.Sequential:
    module = small()
    module[0].requires_grad_(requires_grad=False)
    module[3].bias.requires_grad_(requires_grad=False)
    return module


@pytest.mark.parametrize(
    ("text", "frozen"),
    [
        ("auto", ["0.weight", "0.bias", "3.bias"]),
        ("own", ["0.weight", "0.bias", "3.bias"]),
        # Stages leave what the user froze as it is; names, head and all do not.
        ("last=2", ["0.weight", "0.bias", "3.bias"]),
        ("0,1,3,5", []),
        ("all", []),
    ],
)
@pytest.mark.parametrize("finetune", [False, True])
def test_what_users_froze_stays_frozen_unless_it_is_named(text, frozen, finetune) -> None:
    module = partly_frozen()

    Training(text, finetune=finetune, users=True).choose(module)

    left = trainable(module)
    assert [name for name, _ in module.named_parameters() if name not in left] == frozen


def test_fine_tuning_means_the_head_where_nothing_or_everything_was_frozen() -> None:
    for module in (small(), small().requires_grad_(requires_grad=False)):
        assert Training(finetune=True, users=True).choose(module) == "5"
    # A layer that a network of the catalogue keeps fixed is no choice of the user's.
    assert Training(finetune=True).choose(partly_frozen()) == "5"


@pytest.mark.parametrize("text", ["auto", "head", "1", "last=1"])
def test_new_layers_are_trained_in_any_case(text: str) -> None:
    module = small()

    Training(text, finetune=True, new=(CHANNELS, CLASSES)).choose(module)

    assert {"0.weight", "0.bias", "5.weight", "5.bias"} <= set(trainable(module))


def test_an_own_layer_can_be_the_head() -> None:
    class Scale(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.ones(3, 3))

    module = nn.Sequential(Scale(), nn.ReLU(), Scale())

    assert Training("head").choose(module) == "2"
    assert Training("head").choose(nn.Linear(2, 2)) == "everything"


def test_tied_weights_are_trained_under_either_name() -> None:
    module = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
    module[1].weight = module[0].weight

    Training("1").choose(module)

    assert module[0].weight.requires_grad
    assert not module[0].bias.requires_grad


def test_whole_numbers_are_no_parameters_to_train() -> None:
    module = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
    module[0].table = nn.Parameter(torch.arange(3), requires_grad=False)

    assert Training("all").choose(module) == "everything"


def test_nothing_to_train() -> None:
    frozen = small().requires_grad_(requires_grad=False)

    with pytest.raises(UsageError, match="all 827 parameters of Sequential are frozen"):
        Training().choose(frozen)
    with pytest.raises(Unsupported, match="ReLU has no parameters"):
        Training("head").choose(nn.ReLU())
    # The gradient of an input is something to compute, too.
    assert Training(inputs=True).choose(frozen) == "nothing"


def test_a_frozen_backbone_takes_a_training_step_in_which_batch_norm_goes_on() -> None:
    module = small().train()
    Training("head").choose(module)
    before = {path: parameter.clone() for path, parameter in module.state_dict().items()}

    module(torch.randn(2, 3, 8, 8)).sum().backward()
    torch.optim.SGD([p for p in module.parameters() if p.requires_grad], lr=0.1).step()

    changed = [path for path, one in module.state_dict().items() if (one != before[path]).any()]
    assert changed == [
        "1.running_mean", "1.running_var", "1.num_batches_tracked", "5.weight", "5.bias",
    ]  # fmt: skip
