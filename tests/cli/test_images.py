"""``cnnbench run --images``: the user's own pictures, from the command line to the table."""

from __future__ import annotations

import csv
import io
import json
import shutil
from pathlib import Path

import pytest

import cnnbench
from cnnbench.errors import UsageError
from tests import made

NETWORKS = '''
import torch
from torch import nn


class Colours(nn.Module):
    """Class 0 is red, class 1 green, by the mean colour."""

    def __init__(self):
        super().__init__()
        self.head = nn.Linear(3, 2)

    def forward(self, x):
        return self.head(x.mean((2, 3)))


class Elsewhere(Colours):
    """In 16 bits it answers for another picture, which is red."""

    def forward(self, x):
        if x.dtype is torch.bfloat16:
            x = x.new_tensor([1.0, -1.0, 0.0]).view(1, 3, 1, 1).expand(len(x), 3, 1, 1)
        return super().forward(x)
'''
FAST = ("--device", "cpu", "--threads", "1", "--input", "3x32x32", "--slices", "2", "--quiet")


def paint(path: Path, colour: tuple[int, int, int]) -> None:
    from PIL import Image

    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (48, 40), colour).save(path)


@pytest.fixture
def colours(tmp_path: Path) -> Path:
    """Networks, weights, and twelve pictures in two classes, three of them in the wrong one."""
    import torch

    (tmp_path / "colours.py").write_text(NETWORKS, encoding="utf8")
    weight = torch.tensor([[1.0, -1.0, 0.0], [-1.0, 1.0, 0.0]])
    torch.save({"head.weight": weight, "head.bias": torch.zeros(2)}, tmp_path / "own.pt")
    for number in range(12):
        red = number < 7
        folder = ("a_red", "b_green")[red if number in {0, 5, 9} else not red]
        bright, dark = 150 + 8 * number, 5 * number
        colour = (bright, dark, dark) if red else (dark, bright, dark)
        paint(tmp_path / "pictures" / folder / f"{number}.png", colour)
    return tmp_path


def rows(text: str) -> dict[tuple[str, str], dict[str, str]]:
    found = csv.DictReader(io.StringIO(text))
    return {(row["model"].partition(":")[2], row["mode"]): row for row in found}


@pytest.mark.torch
def test_agreement_and_accuracy_are_over_all_pictures(cnnbench_cli, colours: Path) -> None:
    (colours / "pictures" / "a_red" / "bad.png").write_bytes(b"no picture")

    done = cnnbench_cli(
        "run", "--models", "colours:Colours,colours:Elsewhere", "--modes", "eager,bf16", "--batch",
        "5", "--images", "pictures", "--weights", "own.pt", "--rounds", "2", "--out", "out", *FAST,
    )  # fmt: skip

    assert done.exit_code == 0, done.output
    found = rows((colours / "out" / "report.csv").read_text(encoding="utf8"))
    told = {key: (row["accuracy_top1"], row["top1_agreement"]) for key, row in found.items()}
    assert told == {
        ("Colours", "eager"): ("0.75", "1.0"),
        ("Colours", "bf16"): ("0.75", "1.0"),
        ("Elsewhere", "eager"): ("0.75", "1.0"),
        # Seven of the twelve are red, as the picture is that it answers for.
        ("Elsewhere", "bf16"): ("0.5", str(7 / 12)),
    }
    assert {row["top1_pictures"] for row in found.values()} == {"12"}
    assert {row["accuracy_fp32_top1"] for row in found.values()} == {"0.75"}
    assert {row["images"] for row in found.values()} == {str(colours / "pictures")}
    assert found["Elsewhere", "bf16"]["status"] == "wrong"
    # Wilson's interval of nine in twelve (Newcombe 1998, method 3).
    ends = [float(found["Colours", "bf16"][f"accuracy_top1_{end}"]) for end in ("low", "high")]
    assert ends == pytest.approx([0.468, 0.911], abs=5e-4)
    shown = made.flat(done.stdout)
    assert (
        "--images: 1 of 13 picture files cannot be read and are left out, the first is"
        " a_red/bad.png: cannot identify image file" in shown
    )
    wide = cnnbench_cli("report", "out", "--wide").stdout
    assert "75.0 % [46.8 %, 91.1 %]" in wide
    assert "58.3 %" in wide


@pytest.mark.torch
def test_untrained_weights_agree_but_are_not_accurate(cnnbench_cli, colours: Path) -> None:
    results = cnnbench.run(
        "colours:Colours", "eager,bf16", batch=2, images=colours / "pictures", device="cpu",
        threads=1, input=(3, 32, 32), rounds=1, slices=2, out=colours / "out",
    )  # fmt: skip

    for record in results.records:
        (note,) = [note for note in record.notes if note.startswith("--images")]
        assert "accuracy is not reported: calibrated weights are not trained" in note
        assert record.runs[0].check.top1_pictures == 12
        assert record.check.accuracy_top1 is None
    shown = cnnbench_cli("report", "out", "--wide").stdout
    assert "agreement  pictures" in shown
    assert "accuracy  " not in shown


@pytest.mark.torch
def test_folders_that_are_no_classes_say_why(cnnbench_cli, colours: Path) -> None:
    paint(colours / "pictures" / "c_blue" / "1.png", (0, 0, 200))

    done = cnnbench_cli(
        "run", "--models", "colours:Colours", "--images", "pictures", "--weights", "own.pt",
        "--modes", "eager", "--rounds", "1", "--out", "out", *FAST,
    )  # fmt: skip

    assert done.exit_code == 0, done.output
    assert (
        "--images: accuracy is not reported: 3 folders, whose names are no numbers, do not fit"
        " 2 classes" in made.flat(done.stdout)
    )
    (row,) = rows((colours / "out" / "report.csv").read_text(encoding="utf8")).values()
    assert (row["accuracy_top1"], row["top1_agreement"], row["top1_pictures"]) == ("", "1.0", "13")


@pytest.mark.torch
@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({}, "holds no picture; looked for .png"),
        ({"a.png": b"", "b.png": b"no"}, "none of the 2 pictures in"),
        ({"a.png": b"", "dogs/b.png": b""}, "holds both pictures (a.png) and folders of pictures"),
    ],
)
def test_a_directory_that_is_no_use_is_one_line(
    cnnbench_cli, tmp_path: Path, files: dict[str, bytes], said: str
) -> None:
    (tmp_path / "pictures").mkdir()
    for name, content in files.items():
        (tmp_path / "pictures" / name).parent.mkdir(exist_ok=True)
        (tmp_path / "pictures" / name).write_bytes(content)

    done = cnnbench_cli("run", "--models", "lenet", "--images", "pictures", "--device", "cpu")

    assert done.exit_code == 2
    assert len(done.stderr.splitlines()) == 1
    assert f"--images: {'' if files.get('b.png') else tmp_path}" in done.stderr
    assert said in done.stderr
    assert not (tmp_path / "results").exists()


@pytest.mark.parametrize("given", ["nowhere", "file"])
def test_a_path_that_is_no_directory_is_refused_at_once(
    cnnbench_cli, tmp_path: Path, given: str
) -> None:
    (tmp_path / "file").write_text("no directory", encoding="utf8")

    done = cnnbench_cli("run", "--models", "lenet", "--images", given)

    assert done.exit_code == 2
    said = f"Invalid value for '--images': '{given}' is not a directory"
    assert said in done.stderr
    with pytest.raises(UsageError, match=f"^images: '{given}' is not a directory"):
        cnnbench.run("lenet", images=given, executor="fake")


def test_ids_and_tables_name_the_directory_only_where_it_is_given(
    cnnbench_cli, tmp_path: Path
) -> None:
    (tmp_path / "my, pictures").mkdir()
    words = ("run", "--models", "lenet", "--modes", "eager", "--executor", "fake", "--out")

    own = cnnbench_cli(*words, "own", "--images", "my, pictures")
    seeded = cnnbench_cli(*words, "seeded", "--images", "none")

    assert own.exit_code == seeded.exit_code == 0, own.output + seeded.output
    assert f"images {tmp_path / 'my, pictures'}" in made.flat(own.stdout)
    assert "images" not in seeded.stdout
    ids = [cnnbench.load(tmp_path / name).records[0].id for name in ("own", "seeded")]
    assert ["-images=" in one for one in ids] == [True, False]
    data = json.loads(cnnbench_cli("report", "own", "seeded", "--json").stdout)
    assert [row["images"] for row in data] == [str(tmp_path / "my, pictures"), None]


@pytest.mark.parametrize("option", ["--images", "--weights"])
def test_a_run_is_read_where_its_files_are_gone(cnnbench_cli, tmp_path: Path, option: str) -> None:
    (tmp_path / "pictures").mkdir()
    (tmp_path / "own.pt").touch()
    given = {"--images": "pictures", "--weights": "own.pt"}[option]
    words = ("--models", "lenet", "--modes", "eager", "--executor", "fake", "--out", "out")
    assert cnnbench_cli("run", option, given, *words).exit_code == 0
    (tmp_path / "own.pt").unlink()
    shutil.rmtree(tmp_path / "pictures")

    done = cnnbench_cli("report", "out")

    assert done.exit_code == 0, done.output
    assert given in done.stdout


def test_the_help_says_how_long_it_may_take(cnnbench_cli) -> None:
    said = " ".join(cnnbench_cli("run", "--help").stdout.split())

    assert "--images DIR" in said
    assert "evenly spaced 1,000 of more, within 120 s" in said
