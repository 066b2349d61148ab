"""What a training step is to train, as text: what it says and refuses, and its way into ids."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cnnbench import axes, trained
from cnnbench.errors import UsageError
from cnnbench.spec import Device, Mode, Spec, Workload
from cnnbench.trained import Wanted

NAMES = st.from_regex(r"[a-z*?][a-z0-9_.*?]{0,9}", fullmatch=True).filter(
    lambda name: name not in trained.WORDS
)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("auto", Wanted("auto")),
        ("own", Wanted("own")),
        ("all", Wanted("all")),
        ("head", Wanted("head")),
        ("last=2", Wanted("head", 2)),
        ("conv1, layer4.*", Wanted("", 0, ("conv1", "layer4.*"))),
        ("conv1,head,conv1", Wanted("head", 0, ("conv1",))),
        ("last=10,*.bias", Wanted("head", 10, ("*.bias",))),
    ],
)
def test_a_text_says_what_to_train(text: str, wanted: Wanted) -> None:
    assert trained.parse(text) == wanted


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "missing"),
        ("conv1,,fc", "missing"),
        ("last=0", "not of the form last=N"),
        ("last=-1", "not of the form last=N"),
        ("last=", "not of the form last=N"),
        ("first=2", "not of the form last=N"),
        ("head,all", "'head' and 'all' exclude each other"),
        ("last=1,last=2", "exclude each other"),
        ("all,conv1", "'all' stands alone; leave out 'conv1'"),
    ],
)
def test_what_says_nothing_or_two_things_is_refused(text: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        trained.read(text)


@given(st.lists(NAMES, min_size=1, max_size=4), st.sampled_from(["", "head", "last=3"]))
def test_a_text_comes_back_from_an_id_as_it_was_read(names: list[str], word: str) -> None:
    text = trained.read(" , ".join([*filter(None, [word]), *names]))

    workload = Workload("lenet", 1, (3, 32, 32), "training", settings=(("train", text),))
    spec = Spec(workload, Mode(), Device(), 1)
    again = axes.understood(Spec.parse(spec.id))

    assert again == spec
    assert axes.settings()["train"].of(again) == text == trained.read(text)
    assert trained.parse(text) == trained.parse(trained.read(text))


def test_ids_from_before_there_was_a_choice_are_read_as_they_were() -> None:
    old = "resnet18/finetune-b8-3x224x224/eager/cpu-t2"

    spec = axes.understood(Spec.parse(old))

    assert spec.id == old
    assert axes.settings()["train"].of(spec) == trained.AUTO
    assert axes.settings()["train"].said(spec) == ""


def test_inference_has_nothing_to_train() -> None:
    assert axes.chosen({"train": "head"}) == ()
    assert axes.chosen({"train": "head"}, "training") == (("train", "head"),)
    with pytest.raises(UsageError, match="inference has no train"):
        axes.understood(Spec.parse("lenet/inference-b1-3x32x32-train=head/eager/cpu-t1"))


def test_commas_belong_to_a_value_and_a_list_makes_several() -> None:
    how = axes.asking("train")

    assert how.values("conv1,fc") == ("conv1,fc",)
    assert how.values(["head", "conv1,fc", "head"]) == ("head", "conv1,fc")
