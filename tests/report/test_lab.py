"""Tables of the convolution lab look like the golden files."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from cnnbench import store
from cnnbench.report import lab as report
from cnnbench.store import StoredRun
from tests import made
from tests.convlab.conftest import lab, refused, way  # noqa: F401 - fixtures

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def run(lab) -> StoredRun:  # noqa: F811 - a fixture
    what = replace(store.manifest("a-run", [one.id for one in lab], {}, "fake"), created="")
    # Ways that do not apply are recorded first; tables keep the order of what was asked for.
    return StoredRun(Path("a-run"), what, made.ENVIRONMENT, tuple(reversed(lab)))


@pytest.mark.parametrize(("kind", "ending"), [("table", "txt"), ("markdown", "md"),
                                              ("csv", "csv"), ("json", "json")])  # fmt: skip
def test_a_lab_looks_like_the_golden_file(run, kind: str, ending: str, golden) -> None:
    golden(f"lab.{ending}", report.to_text([run], kind))


def test_a_wrong_way_is_shown_as_wrong_whatever_its_speed(run) -> None:
    rows = json.loads(report.to_json([run]))["rows"]
    (wrong,) = (row for row in rows if row["implementation"] == "winograd_f4")

    assert wrong["status"] == "wrong"
    assert wrong["speedup"] == pytest.approx(10)


def test_every_column_for_machines_is_documented() -> None:
    page = (ROOT / "docs" / "conv.md").read_text(encoding="utf8")

    assert [name for name in report.TIDY if f"`{name}`" not in page] == []
