from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cnnbench import accuracies, catalogue
from cnnbench.accuracies import GivenAccuracy
from cnnbench.errors import StoreError, UsageError

TIMM = """\
model,img_size,top1,top1_err,param_count
a.one,224,80.5,19.5,25.5
a.two,224,81.0,19.0,25.5
a.two,288,82.0,18.0,25.5
b,256,90.0,10.0,"1,014.45"
"""


def _read(tmp_path: Path, text: str) -> tuple[GivenAccuracy, ...]:
    path = tmp_path / "a.csv"
    path.write_text(text, encoding="utf8")
    return accuracies.read(path)


def test_rows_of_timms_table_are_read(tmp_path: Path) -> None:
    found = _read(tmp_path, TIMM)

    assert found[0] == GivenAccuracy("a.one", 80.5, 224, 25_500_000)
    assert found[3].params == 1_014_450_000


def test_model_and_accuracy_are_enough(tmp_path: Path) -> None:
    assert _read(tmp_path, "\ufefftop1,model\n70,mine:net\n") == (GivenAccuracy("mine:net", 70.0),)


def test_of_equal_architectures_and_sizes_the_best_weights_are_kept(tmp_path: Path) -> None:
    kept = accuracies.best_of_each(_read(tmp_path, TIMM))

    assert [(one.model, one.size) for one in kept] == [("a.two", 224), ("a.two", 288), ("b", 256)]


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("", "no column 'model'"),
        ("model,acc\na,1\n", "no column 'top1'; it needs model and top1"),
        ("model,top1\n", "no rows"),
        ("model,top1\na,high\n", ":2: top1 is no percentage"),
        ("model,top1\na,101\n", ":2: top1 is no percentage"),
        ("model,top1\na,nan\n", ":2: top1 is no percentage"),
        ("model,top1\na\n", ":2: top1 is no percentage"),
        ("model,top1\n,70\n", ":2: no name of a model"),
        ("model,top1,img_size\na,70,2.5\n", ":2: img_size is no size"),
        ("model,top1,img_size\na,70,-3\n", ":2: img_size is no positive number"),
        ("model,top1,param_count\na,70,many\n", ":2: param_count is no positive number"),
        ('model,top1\n"a,70\n', "no CSV"),
    ],
)
def test_what_is_no_such_table_is_refused_in_a_line(tmp_path: Path, text: str, part: str) -> None:
    with pytest.raises(UsageError) as caught:
        _read(tmp_path, text)

    assert part in str(caught.value)
    assert "\n" not in str(caught.value)


def test_what_cannot_be_read_is_said(tmp_path: Path) -> None:
    with pytest.raises(StoreError):
        accuracies.read(tmp_path / "missing.csv")
    (tmp_path / "b.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UsageError, match="UTF-8"):
        accuracies.read(tmp_path / "b.csv")


@given(st.text(max_size=80))
def test_any_text_is_read_or_refused(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    path = tmp_path_factory.mktemp("any") / "a.csv"
    path.write_bytes(f"model,top1,img_size\n{text}".encode("utf8", "surrogatepass"))

    try:
        found = accuracies.read(path)
    except UsageError:
        return
    assert all(0 < one.top1 <= 100 and one.model for one in found)


def test_the_table_of_timms_figures_is_read_and_plausible() -> None:
    rows = accuracies.of_timm()
    known = {(row.model, row.size): row for row in rows}

    resnet = known["resnet50.a1_in1k", 288]
    assert resnet == GivenAccuracy("resnet50.a1_in1k", resnet.top1, 288, 25_560_000, resnet.macs)
    assert 80 < resnet.top1 < 82
    assert resnet.macs == pytest.approx(6.8e9, rel=0.02)
    assert len(rows) == len(known) > 1_500
    assert len({row.architecture for row in rows}) == 900
    assert all(row.size and row.params and row.macs is not None for row in rows)


def test_published_work_is_a_lower_bound_of_what_was_rounded(tmp_path: Path) -> None:
    (row,) = _read(tmp_path, "model,top1,gmacs\na,70,0.04\n")

    assert row.macs == 35_000_000


@pytest.mark.parametrize("text", ["4,1", "25,6", "1,0000"])
def test_a_comma_for_the_decimal_point_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(UsageError, match="gmacs is no positive number"):
        _read(tmp_path, f'model,top1,gmacs\na,70,"{text}"\n')


def test_no_name_of_timms_is_one_of_the_catalogue() -> None:
    assert not [row.model for row in accuracies.of_timm() if catalogue.known(row.model)]
