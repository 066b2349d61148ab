"""The table of axes, and what a row of it is worth: one more, and everything knows it."""

from __future__ import annotations

import csv
import importlib
import io
import json
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

import cnnbench
from cnnbench import axes, cli, suite
from cnnbench.errors import SchemaError, UnknownName, UsageError
from cnnbench.record import from_json
from cnnbench.report import answers
from cnnbench.report.exporting import EXPORTS, export
from cnnbench.report.pivot import pivot
from cnnbench.report.scaling import scaling
from cnnbench.report.selection import keep
from cnnbench.report.table import summary
from cnnbench.runner import fake
from cnnbench.spec import Device, Mode, Spec, Workload
from cnnbench.suite import Facts, Grid
from tests import made

KNOWN = ("a", "b", "c")


def _read(text: str) -> str:
    if text not in KNOWN:
        raise UnknownName("dummy", text, KNOWN)
    return text


DUMMY = axes.setting("dummy", "a", axes.Asking("--dummy", "", _read, "WORD", "A dummy.", "a"))


@pytest.fixture
def dummy(monkeypatch) -> None:
    """One more row, and one place that uses its value: b takes twice as long."""
    monkeypatch.setattr(axes, "AXES", (*axes.AXES, DUMMY))
    real = fake._seconds
    monkeypatch.setattr(
        fake,
        "_seconds",
        lambda spec: (1 + (spec.workload.setting("dummy", "a") == "b")) * real(spec),
    )
    # Options are attached when a command is imported.
    for name in ("run", "report"):
        monkeypatch.setattr(cli, name, importlib.import_module(f"cnnbench.cli.{name}"))
        monkeypatch.delitem(sys.modules, f"cnnbench.cli.{name}")


@pytest.fixture
def dummies(dummy, tmp_path):
    """One network with both values."""
    return cnnbench.run(
        "lenet", "eager,channels_last", device="cpu", batch=(1, 8), threads=2, dummy="a,b",
        rounds=2, out=tmp_path / "both", executor="fake",
    )  # fmt: skip


def test_names_and_options_are_unique_and_the_order_for_machines_is_kept() -> None:
    names = [axis.name for axis in axes.AXES]
    options = [asking.option for _, asking in axes.asked()]

    assert len(set(names)) == len(names)
    assert len(set(options)) == len(options)
    assert [axis.name for axis in axes.tidy()] == [
        "model", "mode", "device", "batch", "size", "input", "phase", "optimizer", "threads",
    ]  # fmt: skip


def test_every_axis_but_settings_is_a_field_of_the_grid() -> None:
    fields = set(Grid.__dataclass_fields__)

    assert {asking.field for _, asking in axes.asked() if asking.field} <= fields


@pytest.mark.parametrize(
    ("values", "default", "tells"),
    [
        ([], None, False),
        (["x", "x"], None, False),
        (["x", "y"], None, True),
        ([None, "usual"], "usual", False),
        ([None, "other"], "usual", True),
        (["usual", "other"], "usual", True),
    ],
)
def test_a_column_tells_something_where_values_differ(values, default, tells: bool) -> None:
    assert axes.tells(values, default) is tells


def test_lists_of_values_are_read_once_each() -> None:
    batch = next(asking for axis, asking in axes.asked() if axis.name == "batch")

    assert batch.values("1, 8,1") == batch.values([1, 8]) == (1, 8)
    for wrong in ("", "0", "x", [-1]):
        with pytest.raises(UsageError):
            batch.values(wrong)


@given(st.dictionaries(st.just("dummy"), st.sampled_from(KNOWN)))
def test_defaults_are_no_settings(values: dict[str, str]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(axes, "AXES", (*axes.AXES, DUMMY))
        chosen = axes.chosen(values)
        spec = Spec(Workload("lenet", 1, (3, 9, 9), settings=chosen), Mode(), Device(), 1)

        assert ("dummy" in spec.id) == (values.get("dummy", "a") != "a")
        assert axes.understood(Spec.parse(spec.id)) == spec


def test_a_record_of_an_axis_that_is_not_known_is_refused(eager) -> None:
    data = {"schema": 5, "id": eager.id.replace("/eager", "-dummy=b/eager"), "environment": "x",
            "measured_at": ""}  # fmt: skip

    with pytest.raises(SchemaError, match="unknown axis 'dummy'"):
        from_json(data)


@pytest.mark.usefixtures("dummy")
def test_an_expanded_grid_has_every_value_and_no_default_in_an_id() -> None:
    grid = Grid(("small",), threads=(1,), settings={"dummy": ("a", "b")})

    specs = suite.expand(grid, Device(), (Mode(),), {"small": Facts((3, 9, 9))}).specs

    assert [spec.id for spec in specs] == [
        "small/inference-b1-3x9x9/eager/cpu-t1",
        "small/inference-b1-3x9x9-dummy=b/eager/cpu-t1",
    ]


def test_the_api_takes_it_and_its_place_of_use_notices(dummies) -> None:
    times = {
        (entry.record.spec.workload.setting("dummy", "a"), entry.record.spec.workload.batch):
            entry.estimates["latency"].point
        for entry in dummies.entries if entry.record.spec.mode.text == "eager"
    }  # fmt: skip

    assert times["b", 1] == pytest.approx(2 * times["a", 1], rel=0.1)
    assert times["b", 8] == pytest.approx(2 * times["a", 8], rel=0.1)
    with pytest.raises(UsageError, match="unknown dummy 'x'"):
        cnnbench.run("lenet", dummy="x", executor="fake")


def test_tables_have_a_column_or_a_caption(dummies) -> None:
    found = dummies.entries
    table, frame = summary(found), dummies.frame()
    same = summary([one for one in found if "dummy=b" in one.record.id])
    usual = summary([one for one in found if "dummy=b" not in one.record.id])

    place = [column.name for column in table.columns].index("dummy")
    assert {row[place] for row in table.rows} == {"a", "b"}
    assert list(frame["dummy"]) == ["a"] * 2 + ["b"] * 2 + ["a"] * 2 + ["b"] * 2
    assert "dummy b" in same.captions[0]
    assert "dummy" not in "".join([*usual.captions, *(column.name for column in usual.columns)])


def test_pivots_curves_filters_and_sentences_keep_it_apart(dummies) -> None:
    found = dummies.entries

    wide = pivot(found, "dummy")
    assert [column.title for column in wide.columns][-2:] == ["dummy a", "dummy b"]
    assert len(wide.rows) == 4
    assert len(scaling(found).rows) == 4
    assert len(keep(found, "dummy=b")) == 4
    assert len({answers.setting(one) for one in found}) == 4
    assert {answers.names(found, batch=False)(one) for one in found} == {
        "lenet, dummy a",
        "lenet, dummy b",
    }


@pytest.mark.parametrize("kind", EXPORTS)
def test_exports_keep_it_apart(dummies, kind: str) -> None:
    text = export(dummies.entries, kind)

    if kind == "timm":
        rows = [*csv.DictReader(io.StringIO(text))]
        assert sorted(row["dummy"] for row in rows) == [""] * 4 + ["b"] * 4
    else:
        assert text.count("-dummy=b/eager/cpu-t2") >= 2
    if kind == "pytest-benchmark":
        params = [one["params"] for one in json.loads(text)["benchmarks"]]
        assert sum(one.get("dummy") == "b" for one in params) == 4


@pytest.mark.usefixtures("dummy")
def test_the_command_line_takes_it(cnnbench_cli) -> None:
    done = cnnbench_cli(
        "run", "--models", "lenet", "--device", "cpu", "--batch", "1,8", "--dummy", "a,b",
        "--rounds", "2", "--out", "here", "--executor", "fake",
    )  # fmt: skip

    assert done.exit_code == 0, done.output
    assert "dummy" in done.stdout
    for words, count in (
        (["--filter", "dummy=a", "--format", "csv"], 1 + 4),
        (["--pivot", "dummy", "--format", "csv"], 1 + 4),
        (["--scaling", "--format", "csv"], 1 + 4),
        (["--columns", "dummy", "--sort", "-dummy", "--format", "csv"], 1 + 8),
    ):
        shown = cnnbench_cli("report", "here", *words)
        assert shown.exit_code == 0, shown.output
        assert len(shown.stdout.splitlines()) == count, words
    assert "unknown dummy 'x'" in cnnbench_cli("run", "--dummy", "x").stderr
    assert "drop --dummy" in cnnbench_cli("run", "--resume", "here", "--dummy", "b").stderr
    assert "WORD,…" in cnnbench_cli("run", "--help").stdout


def test_made_records_have_no_settings() -> None:
    assert Spec.parse(made.EAGER).workload.settings == ()
