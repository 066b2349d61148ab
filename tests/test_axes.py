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
from cnnbench import asking, axes, cli, suite
from cnnbench.errors import SchemaError, UnknownName, UsageError
from cnnbench.record import from_json
from cnnbench.report import answers
from cnnbench.report.exporting import EXPORTS, export
from cnnbench.report.pivot import frame, pivot
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


DUMMY = axes.setting("dummy", "a", asking.Asking("--dummy", "", _read, "WORD", "A dummy.", "a"))
WIDTH = axes.setting(
    "width", 1, asking.Asking("--width", "", asking.positive, "N", "A number.", "1"), kind="whole"
)
FILE = axes.setting(
    "file", None, asking.Asking("--file", "", str, "FILE", "A path.", several=False)
)


@pytest.fixture
def dummy(monkeypatch) -> None:
    """One more row, and one place that uses its value: b takes twice as long."""
    monkeypatch.setattr(axes, "AXES", (*axes.AXES, DUMMY, WIDTH, FILE))
    real = fake._seconds
    monkeypatch.setattr(
        fake,
        "_seconds",
        lambda spec: (1 + (spec.workload.setting("dummy", "a") == "b")) * real(spec),
    )
    # Options are attached when a command is imported.
    for name in ("run", "report", "ab", "max_batch", "advise"):
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
    table, columns = summary(found), frame(found)
    same = summary([one for one in found if "dummy=b" in one.record.id])
    usual = summary([one for one in found if "dummy=b" not in one.record.id])

    place = [column.name for column in table.columns].index("dummy")
    assert {row[place] for row in table.rows} == {"a", "b"}
    assert list(columns["dummy"]) == ["a"] * 2 + ["b"] * 2 + ["a"] * 2 + ["b"] * 2
    assert "dummy b" in same.captions[0]
    assert "dummy" not in "".join([*usual.captions, *(column.name for column in usual.columns)])


def test_pivots_curves_filters_and_sentences_keep_it_apart(dummies) -> None:
    found = dummies.entries

    wide = pivot(found, "dummy")
    assert [column.title for column in wide.columns][-2:] == ["dummy a", "dummy b"]
    assert len(wide.rows) == 4
    assert len(scaling(found).rows) == 4
    assert len(keep(found, "dummy=b")) == 4
    assert len({one.setting for one in found}) == 4
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


@pytest.mark.usefixtures("dummy")
@pytest.mark.parametrize("width", [(1, 2), "1,2", ["1", 2, 2]])
def test_a_number_axis_stays_a_number(tmp_path, width) -> None:
    found = cnnbench.run("lenet", "eager", device="cpu", threads=2, width=width, rounds=2,
                         out=tmp_path / "run", executor="fake")  # fmt: skip

    ids = [record.id for record in found.records]
    assert ids == [
        made.EAGER.replace("b8", "b1"),
        "lenet/inference-b1-3x32x32-width=2/eager/cpu-t2",
    ]
    assert list(frame(found.entries)["width"]) == [1, 2]
    assert [WIDTH.of(record.spec) for record in cnnbench.load(tmp_path / "run").records] == [1, 2]
    assert len(keep(found.entries, "width>=2")) == 1
    assert "width 2" in pivot(found.entries, "width").columns[-1].title
    assert json.loads(export(found.entries, "pytest-benchmark"))["benchmarks"][1]["params"][
        "width"
    ] == 2  # fmt: skip


@pytest.mark.usefixtures("dummy")
def test_one_value_needs_no_list(tmp_path) -> None:
    found = cnnbench.run("lenet", "eager", width=2, executor="fake", out=tmp_path / "run")

    assert [WIDTH.of(record.spec) for record in found.records] == [2]
    with pytest.raises(UsageError, match=r"^width: '0' is not a positive whole number$"):
        cnnbench.run("lenet", width=0, executor="fake")
    with pytest.raises(UsageError, match="'x' is not a positive whole number"):
        axes.understood(Spec.parse(made.EAGER.replace("/eager", "-width=x/eager")))


@pytest.mark.usefixtures("dummy")
def test_a_comma_in_a_path_is_part_of_it(tmp_path, cnnbench_cli) -> None:
    path = "/my nets/a,b-c=d.pt"

    found = cnnbench.run("lenet", "eager", file=path, executor="fake", out=tmp_path / "run")
    done = cnnbench_cli("run", "--models", "lenet", "--modes", "eager", "--file", path,
                        "--executor", "fake", "--dry-run")  # fmt: skip

    assert done.exit_code == 0, done.output
    given = [FILE.of(Spec.parse(line)) for line in done.stdout.splitlines() if "/" in line]
    assert [FILE.of(record.spec) for record in found.records] == given == [path]
    with pytest.raises(UsageError, match="file: takes one value, not 2"):
        cnnbench.run("lenet", file=["a", "b"], executor="fake")


@pytest.mark.usefixtures("dummy")
def test_every_command_that_measures_a_grid_takes_them(tmp_path, cnnbench_cli) -> None:
    fake = ("--device", "cpu", "--executor", "fake")
    asked = ("--dummy", "b", "--width", "2")

    paired = cnnbench_cli("ab", "eager", "channels_last", "--models", "lenet", *asked, "--pairs",
                          "3", "--out", "ab", *fake)  # fmt: skip
    most = cnnbench_cli("max-batch", "--models", "lenet", *asked, "--up-to", "4", *fake)
    advice = cnnbench_cli("advise", "lenet", *asked, "--rounds", "2", "--out", "advice", *fake)

    for done in (paired, most, advice):
        assert done.exit_code == 0, done.output
    for name in ("ab/base", "ab/head", "advice"):
        for record in cnnbench.load(tmp_path / name).records:
            assert (DUMMY.of(record.spec), WIDTH.of(record.spec)) == ("b", 2)
    data = json.loads(cnnbench_cli("max-batch", "--models", "lenet", *asked, "--up-to", "4",
                                   "--json", *fake).stdout)  # fmt: skip
    assert "dummy=b-width=2" in json.dumps(data)


def test_the_optimizer_may_become_columns(tmp_path) -> None:
    found = cnnbench.run(
        "lenet", "eager", phase="inference,training", optimizer="momentum,adam", rounds=2,
        executor="fake", out=tmp_path / "run",
    ).entries  # fmt: skip

    wide = pivot(found, "optimizer")

    assert [column.title for column in wide.columns][-3:] == [
        "optimizer none", "optimizer momentum", "optimizer adam",
    ]  # fmt: skip
    assert [[value is not None for value in row[-3:]] for row in wide.rows] == [
        [True, False, False], [False, True, True],
    ]  # fmt: skip


@pytest.mark.parametrize("argument", ["models", "modes", "batch", "size", "phase", "threads"])
def test_no_value_is_refused(tmp_path, argument: str) -> None:
    with pytest.raises(UsageError, match=f"{argument}: a value is missing"):
        cnnbench.run(**{"models": "lenet", argument: ()}, executor="fake", out=tmp_path / "run")

    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("empty", ["batches", "phases", "optimizers"])
def test_an_empty_grid_is_refused(empty: str) -> None:
    grid = Grid(**{"models": ("small",), "phases": ("training",), empty: ()})

    with pytest.raises(UsageError, match="an axis of the grid has no value"):
        suite.expand(grid, Device(), (Mode(),), {"small": Facts((3, 9, 9))})


def test_a_typing_error_is_not_hidden_by_another() -> None:
    with pytest.raises(UnknownName, match="did you mean adam"):
        cnnbench.run("lenet", optimizer="adm", executor="fake")


def test_made_records_have_no_settings() -> None:
    assert Spec.parse(made.EAGER).workload.settings == ()


@pytest.mark.parametrize(
    ("own", "given", "expected"),
    [
        ((3, 32, 48), {}, (3, 32, 48)),
        ((3, 32, 48), {"size": (64, 96)}, (3, 64, 96)),
        ((3, 32, 48), {"size": (64,)}, (3, 64, 64)),
        ((3, 8, 32, 48), {"size": (64, 96)}, (3, 8, 64, 96)),
        ((3, 100), {"size": (64, 96)}, (3, 100)),
        ((3, 32, 48), {"arguments": {"in_channels": 1}}, (1, 32, 48)),
        ((3, 32, 48), {"arguments": {"in_channels": 1}, "shape": (5, 9)}, (5, 9)),
    ],
)
def test_the_shape_of_a_sample_follows_from_what_is_asked_for(own, given, expected) -> None:
    assert axes.sample_shape(own, **({"arguments": {}} | given)) == expected
