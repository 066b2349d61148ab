"""A step's answers to every picture: agreement, accuracy, and which class a folder is."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image
from torch import nn

from cnnbench.facts import Check, Reference
from cnnbench.spec import Device, Mode, Spec, Workload
from cnnbench.worker import agreement, build, images
from cnnbench.worker.inputs import Given

KNOWN = Reference(True, 0.0, 0.0, nonfinite=False)
RED, GREEN = (200, 20, 20), (20, 200, 20)
NAMED = {"tench": 0, "great white shark": 2}


class Colours(nn.Module):
    """Scores of classes by mean colour: 0 is red, 1 green."""

    def __init__(self, classes: int = 2) -> None:
        super().__init__()
        self.classes = classes

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        red, green, _ = x.mean((2, 3)).unbind(1)
        others = x.new_full((len(x), self.classes - 2), -100.0)
        return torch.cat([torch.stack([red, green], 1), others], 1)


class Swapped(Colours):
    """Answers for red where there is green."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x[:, [1, 0, 2]])


class Map(nn.Module):
    """No scores of classes but a picture."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return 2 * x


def paint(path: Path, colour) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (32, 32), colour).save(path)


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Five red and two green ones, one of each in the other's folder."""
    for number in range(5):
        paint(tmp_path / "pictures" / "red" / f"{number}.png", RED)
    paint(tmp_path / "pictures" / "green" / "5.png", GREEN)
    paint(tmp_path / "pictures" / "red" / "6.png", GREEN)
    paint(tmp_path / "pictures" / "green" / "7.png", RED)
    return tmp_path / "pictures"


def spec(folder: Path, batch: int = 3, weights: str | None = None, phase="inference") -> Spec:
    settings = {"images": str(folder)} | ({"weights": weights} if weights else {})
    workload = Workload(
        "lenet", batch, (3, 32, 32), phase, settings=tuple(sorted(settings.items()))
    )
    return Spec(workload, Mode(), Device(), 1)


def step(of: Spec, module: nn.Module) -> build.Step:
    return build.inference(of, module.eval(), Given(images.inputs(of.workload, 0)))


def both(of: Spec, tmp_path: Path, usual: nn.Module, mode: nn.Module) -> tuple[Reference, Check]:
    """What is known of fp32 eager, and the check of a mode."""
    path = tmp_path / "reference.npz"
    architecture = build.resolve(of.workload)
    known = agreement.refer(of, architecture, step(of, usual), path, KNOWN)
    return known, agreement.complete(of, step(of, mode), path, Check("ok"))


def test_accuracy_and_agreement_are_those_of_the_pictures(tmp_path: Path, pictures: Path) -> None:
    paint(pictures / "red" / "bad.png", RED)
    (pictures / "red" / "bad.png").write_bytes(b"no picture")
    # Folders in sorted order: green is class 0, red class 1.
    of = spec(pictures, weights="file.pt")

    known, right = both(of, tmp_path, Swapped(), Swapped())
    _, wrong = both(of, tmp_path, Swapped(), Colours())

    assert known.accuracy_top1 == right.accuracy_top1 == pytest.approx(6 / 8)
    assert (right.top1_agreement, right.top1_pictures) == (1.0, 8)
    assert wrong.accuracy_top1 == pytest.approx(2 / 8)
    assert (wrong.top1_agreement, wrong.top1_pictures) == (0.0, 8)
    assert known.accuracy_top5 is right.accuracy_top5 is None  # two classes cannot be missed
    assert [note for note in known.notes if "1 of 9 picture files cannot be read" in note]


def test_a_class_may_be_among_the_five_likeliest(tmp_path: Path) -> None:
    for folder, colour in (("0", RED), ("1", RED), ("9", RED)):
        paint(tmp_path / "pictures" / folder / "a.png", colour)
    of = spec(tmp_path / "pictures", weights="file.pt")

    known, check = both(of, tmp_path, Colours(10), Colours(10))

    assert known.accuracy_top1 == check.accuracy_top1 == pytest.approx(1 / 3)
    assert known.accuracy_top5 == check.accuracy_top5
    assert 2 / 3 <= known.accuracy_top5 <= 1


def test_the_last_batch_is_filled_up_and_what_fills_it_is_not_counted(
    tmp_path: Path, pictures: Path
) -> None:
    counted = [
        both(spec(pictures, batch, "file.pt"), tmp_path, Swapped(), Swapped())[1]
        for batch in (1, 5, 64)
    ]

    assert {one.top1_pictures for one in counted} == {8}
    assert {one.accuracy_top1 for one in counted} == {0.75}


def test_the_steps_own_picture_is_in_its_inputs_again(tmp_path: Path, pictures: Path) -> None:
    of = spec(pictures)
    made = step(of, Colours())
    before = made.given.args[0].clone()

    agreement.refer(of, build.resolve(of.workload), made, tmp_path / "reference.npz", KNOWN)

    assert torch.equal(made.given.args[0], before)


def test_where_time_runs_out_it_is_said_of_how_many(
    tmp_path: Path, pictures: Path, monkeypatch
) -> None:
    of = spec(pictures, weights="file.pt")
    monkeypatch.setattr(agreement, "IMAGES_SECONDS", 0)
    known, _ = both(of, tmp_path, Colours(), Colours())
    monkeypatch.undo()
    check = agreement.complete(of, step(of, Colours()), tmp_path / "reference.npz", Check("ok"))

    assert (
        "--images: fp32 eager's pass ended after 0 s with 3 of 8 pictures, drawn at random"
        in known.notes
    )
    assert (check.top1_agreement, check.top1_pictures) == (1.0, 3)
    assert check.accuracy_top1 == known.accuracy_top1


@pytest.mark.parametrize(
    ("module", "phase", "said"),
    [
        (Map(), "inference", "the output is no scores of classes"),
        (Colours(), "training", "a training step answers with its loss"),
    ],
)
def test_outputs_without_classes_keep_the_check_of_a_few(
    tmp_path: Path, pictures: Path, module: nn.Module, phase: str, said: str
) -> None:
    of = spec(pictures, phase=phase)

    known, check = both(of, tmp_path, module, module)

    assert [note for note in known.notes if said in note]
    assert check == Check("ok")


@pytest.mark.parametrize(
    ("weights", "folders", "said"),
    [
        (None, ("red", "green"), "calibrated weights are not trained"),
        ("random", ("red", "green"), "random weights are not trained"),
        ("file.pt", ("red", "green", "blue"), "3 folders, whose names are no numbers, do not fit"),
        ("file.pt", ("0", "2"), "folder 2 is no class of 0 to 1"),
    ],
)
def test_why_accuracy_is_not_reported_is_one_line(
    tmp_path: Path, weights: str | None, folders: tuple[str, ...], said: str
) -> None:
    for folder in folders:
        paint(tmp_path / "pictures" / folder / "a.png", RED)

    known, check = both(spec(tmp_path / "pictures", 1, weights), tmp_path, Colours(), Colours())

    note = known.notes[0]
    assert note.startswith("--images: accuracy is not reported: ")
    assert said in note
    assert known.accuracy_top1 is check.accuracy_top1 is None
    assert (check.top1_agreement, check.top1_pictures) == (1.0, len(folders))


def test_flat_pictures_have_no_classes_and_need_no_note(tmp_path: Path) -> None:
    paint(tmp_path / "pictures" / "a.png", RED)

    known, check = both(spec(tmp_path / "pictures", 1, "f.pt"), tmp_path, Colours(), Colours())

    assert known == replace(KNOWN, notes=())
    assert check == Check("ok", top1_agreement=1.0, top1_pictures=1)


WORDNET = [f"n{number:08}" for number in range(1000)]


@pytest.mark.parametrize(
    ("folders", "classes", "named", "table"),
    [
        (("00", "10", "2"), 11, {}, {"00": 0, "10": 10, "2": 2}),
        (("Great_White_Shark", "tench"), 1000, NAMED, {"Great_White_Shark": 2, "tench": 0}),
        (("cat", "dog"), 2, {}, {"cat": 0, "dog": 1}),
        (WORDNET, 1000, NAMED, {name: index for index, name in enumerate(WORDNET)}),
    ],
)
def test_which_class_a_folder_is(folders, classes: int, named, table) -> None:
    assert agreement.class_indices(folders, classes, named) == (table, "")


@pytest.mark.parametrize(
    ("folders", "classes", "named", "said"),
    [
        (("0", "7"), 7, {}, "folder 7 is no class of 0 to 6"),
        (("cat", "tench"), 1000, NAMED, "neither numbers nor names of the weights' classes"),
        (WORDNET[:10], 1000, NAMED, "WordNet ids give classes only if all 1,000 are there"),
        (("0", "cat"), 3, {}, "2 folders, whose names are no numbers, do not fit 3 classes"),
    ],
)
def test_folders_that_are_no_classes_say_why(folders, classes: int, named, said: str) -> None:
    assert said in agreement.class_indices(folders, classes, named)[1]


def test_names_of_torchvisions_weights_are_found_whatever_their_spelling(tmp_path: Path) -> None:
    for folder in ("Great_White_Shark", "tench"):
        paint(tmp_path / "pictures" / folder / "a.png", RED)
    settings = (("images", str(tmp_path / "pictures")), ("weights", "pretrained"))
    of = Spec(Workload("resnet18", 1, (3, 64, 64), settings=settings), Mode(), Device(), 1)

    known, check = both(of, tmp_path, Colours(1000), Colours(1000))

    # Both are red, and so answered with class 0, which is the tench.
    assert known.accuracy_top1 == check.accuracy_top1 == 0.5


def test_one_class_for_every_picture_is_said() -> None:
    said = agreement._one_class(torch.tensor([7, 7, 7]))

    assert said.startswith("fp32 eager answers class 7 for every picture")
    assert agreement._one_class(torch.tensor([7, 7, 8])) == ""
    assert agreement._one_class(torch.tensor([7])) == ""
