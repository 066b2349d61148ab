"""Pictures of the user's as inputs: which files, in which order, and what is done with each."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch
from PIL import Image
from torchvision import models

from cnnbench import axes
from cnnbench.architectures.tasks import TASKS
from cnnbench.asking import NO_IMAGES
from cnnbench.errors import Unsupported, UsageError
from cnnbench.spec import Workload
from cnnbench.worker import build, images, inputs


def paint(path: Path, colour=(200, 0, 0), size=(40, 40)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, colour).save(path)
    return path


def workload(folder: Path, model: str = "lenet", shape=(3, 32, 32), batch: int = 2, **more):
    settings = {"images": str(folder)} | more
    return Workload(model, batch, shape, settings=tuple(sorted(settings.items())))


def names(found: images.Directory) -> list[str]:
    return [file.relative_to(found.path).as_posix() for file in found.files]


def test_a_flat_directory_is_its_pictures_by_name(tmp_path: Path) -> None:
    for name in ("b.png", "a.JPG", "c.webp", ".hidden.png"):
        paint(tmp_path / name)
    (tmp_path / "notes.txt").write_text("no picture")
    (tmp_path / "empty").mkdir()

    found = images.directory(tmp_path)

    assert names(found) == ["a.JPG", "b.png", "c.webp"]
    assert (found.classes, found.found) == ((), 3)


def test_one_folder_per_class_is_read_at_any_depth(tmp_path: Path) -> None:
    paint(tmp_path / "pictures" / "dogs" / "deep" / "1.png")
    paint(tmp_path / "pictures" / "cats" / "2.png")
    paint(tmp_path / "elsewhere" / "3.png")
    (tmp_path / "pictures" / "birds").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere" / "back").symlink_to(tmp_path / "pictures")
    (tmp_path / "pictures" / "dogs" / "round").symlink_to(tmp_path / "pictures" / "dogs")

    found = images.directory(tmp_path / "pictures")

    assert found.classes == ("birds", "cats", "dogs")
    assert {"birds/3.png", "cats/2.png", "dogs/deep/1.png"} <= set(names(found))
    assert found.class_of(tmp_path / "pictures" / "dogs" / "deep" / "1.png") == "dogs"


def test_of_too_many_pictures_some_are_used_evenly_spaced(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(images, "MOST_IMAGES", 4)
    for number in range(10):
        paint(tmp_path / f"{number}.png")

    found = images.directory(tmp_path)

    assert names(found) == ["0.png", "2.png", "5.png", "7.png"]
    assert found.found == 10
    assert (
        "--images: 4 of 10 pictures used, evenly spaced"
        in images.Pictures(workload(tmp_path)).remarks
    )


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ([], "holds no picture; looked for .png"),
        (["a.txt"], "holds no picture"),
        (["a.png", "dogs/b.png"], r"holds both pictures \(a.png\) and folders of pictures \(dogs"),
    ],
)
def test_a_directory_that_cannot_be_used_is_one_line(tmp_path: Path, files, said: str) -> None:
    for name in files:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"")

    with pytest.raises(UsageError, match=said) as caught:
        images.directory(tmp_path)

    assert "\n" not in str(caught.value)


def test_a_directory_without_a_readable_picture_names_the_first(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"no picture")
    (tmp_path / "b.jpg").write_bytes(b"")

    with pytest.raises(UsageError, match=r"none of the 2 pictures .* the first is a\.png: cannot"):
        images.count(str(tmp_path))

    paint(tmp_path / "c.png")
    images.directory.cache_clear()
    assert images.count(str(tmp_path)) == 3


def test_consecutive_pictures_are_the_batches_of_the_check(tmp_path: Path) -> None:
    for number in range(8):
        paint(tmp_path / f"{number}.png", (10 * number, 0, 0))
    of = workload(tmp_path)

    seen = [images.inputs(of, number)[0] for number in range(4)]

    reds = torch.cat(seen)[:, 0, 0, 0] * 0.229 + 0.485
    assert torch.allclose(reds * 255, torch.arange(8.0) * 10, atol=0.01)


def test_of_few_pictures_the_same_are_used_again_flipped(tmp_path: Path) -> None:
    half = Image.new("RGB", (32, 32))
    half.paste((255, 255, 255), (0, 0, 16, 8))
    half.save(tmp_path / "one.png")

    (pair,) = images.inputs(workload(tmp_path), 0)
    (other,) = images.inputs(workload(tmp_path), 1)

    assert torch.equal(pair[1], pair[0].flip(-1))
    assert torch.equal(other[0], pair[0].flip(-2))
    assert torch.equal(other[1], pair[0].flip(-1, -2))
    assert not torch.equal(pair[0], pair[1])


def test_what_cannot_be_read_is_left_out_and_named(tmp_path: Path) -> None:
    good = paint(tmp_path / "b.png", (1, 2, 3), (400, 300))
    (tmp_path / "c.png").write_bytes(good.read_bytes()[:200])
    (tmp_path / "a.png").write_bytes(b"no picture")
    pictures = images.Pictures(workload(tmp_path))

    batches = list(pictures.batches(pictures.directory.files, 2))

    assert [(files, values.shape) for files, values in batches] == [([good], (2, 3, 32, 32))]
    (line,) = pictures.remarks
    assert line.startswith(
        "--images: 2 of 3 picture files cannot be read and are left out, the first is a.png: cannot"
    )


def test_names_of_any_bytes_are_one_line_of_text(tmp_path: Path) -> None:
    paint(tmp_path / "good.png")
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/a\xff\n.png")).write_bytes(b"no picture")
    pictures = images.Pictures(workload(tmp_path))

    assert len(list(pictures.batches(pictures.directory.files, 1))) == 1
    (line,) = pictures.remarks
    assert "the first is a\\udcff\\n.png: cannot" in line
    assert line.encode()


@pytest.mark.parametrize(
    ("shape", "form"), [((3, 32, 32), "RGB"), ((1, 28, 28), "L"), ((3, 40, 24), "RGB")]
)
def test_the_usual_transforms_resize_crop_and_normalise(tmp_path: Path, shape, form: str) -> None:
    from torchvision.transforms import functional

    path = tmp_path / "a.png"
    Image.effect_noise((90, 60), 80).convert("RGB").save(path)
    image = Image.open(path).convert(form)
    size = round(max(shape[1:]) / 0.875)
    expected = functional.to_tensor(
        functional.center_crop(functional.resize(image, size), list(shape[1:]))
    )
    mean, deviation = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)) if form == "RGB" else (
        (0.449,), (0.226,)
    )  # fmt: skip

    (found,) = images.inputs(workload(tmp_path, shape=shape, batch=1), 0)

    assert found.shape == (1, *shape)
    assert torch.equal(found[0], functional.normalize(expected, mean, deviation))


def test_pretrained_networks_get_the_weights_own_transforms(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    Image.effect_noise((500, 400), 80).convert("RGB").save(path)
    own = models.get_model_weights("efficientnet_b0").DEFAULT.transforms()
    of = workload(tmp_path, "efficientnet_b0", (3, 224, 224), 1, weights="pretrained")

    (found,) = images.inputs(of, 0)

    assert torch.equal(found[0], own(Image.open(path)))
    assert images.pictures(of).remarks == ()


def test_at_another_size_they_are_scaled_and_a_note_says_so(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    Image.effect_noise((500, 400), 80).convert("RGB").save(path)
    of = workload(tmp_path, "resnet18", (3, 128, 112), 1, weights="pretrained")

    (found,) = images.inputs(of, 0)

    assert found.shape == (1, 3, 128, 112)
    assert images.pictures(of).remarks == (
        "--images: the weights' own transforms end in 224x224; they are scaled to 128x112 here",
    )


@pytest.mark.parametrize(
    ("model", "shape", "said"),
    [
        ("lenet", (5, 32, 32), "lenet takes 5x32x32, which is no picture of 1 or 3 channels"),
        ("r3d_18", (3, 16, 112, 112), "r3d_18 takes 3x16x112x112, which is no picture"),
        ("raft_small", (3, 128, 128), "is for optical_flow; pictures are for classification and"),
    ],
)
def test_networks_that_take_other_inputs_are_refused(tmp_path: Path, model, shape, said) -> None:
    paint(tmp_path / "a.png")

    with pytest.raises(Unsupported, match=said):
        images.inputs(workload(tmp_path, model, shape), 0)


def test_they_are_the_inputs_of_a_step_but_not_of_its_calibration(tmp_path: Path) -> None:
    for number in range(3):
        paint(tmp_path / f"{number}.png", (80 * number, 0, 0))
    of = workload(tmp_path)
    architecture = build.resolve(of)
    seeded = TASKS[architecture.task].inputs

    assert torch.equal(inputs.made(architecture, of, 0).args[0], images.inputs(of, 0)[0])
    generator = torch.Generator().manual_seed((0 - 1_000_003) % 2**63)
    calibration = seeded(2, (3, 32, 32), generator)[0]
    assert torch.equal(inputs.made(architecture, of, 0, -1).args[0], calibration)


def test_without_the_option_there_are_none() -> None:
    assert not images.given(Workload("lenet", 1, (3, 32, 32)))
    assert axes.settings()["images"].default == NO_IMAGES


def test_a_link_to_the_directory_itself_makes_no_pictures_of_another_class(tmp_path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        Image.new("RGB", (4, 4)).save(tmp_path / name / "1.png")
    (tmp_path / "a" / "loop").symlink_to("..", target_is_directory=True)

    assert images.directory(tmp_path).found == 2
