"""Places become runs, and a run is read when it is reached, not before."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

import cnnbench
from cnnbench import reading, store
from cnnbench.errors import SchemaError, StoreError, UnknownName, UsageError
from cnnbench.reading import Copies, LazyRuns
from tests import made


@pytest.fixture
def many(tmp_path: Path, eager, twice_as_fast) -> Path:
    """Three runs, the last of them one of a campaign of hosts."""
    later = [made.record(one.id, [[7.0]] * 3) for one in (eager, twice_as_fast)]
    made.directory(tmp_path / "many" / "a", [eager, twice_as_fast])
    made.directory(tmp_path / "many" / "b", later[:1])
    made.directory(tmp_path / "many" / "campaign" / "0123", later[1:])
    return tmp_path / "many"


@pytest.fixture
def reads(monkeypatch) -> list[str]:
    """The names of the runs that were read, in order."""
    said: list[str] = []
    real = store.read

    def read(path: Path, *, reports: bool = False) -> store.StoredRun:
        said.append(path.name)
        return real(path, reports=reports)

    monkeypatch.setattr(store, "read", read)
    return said


def names(found: list[Path]) -> list[str]:
    return [path.name for path in found]


def test_places_are_runs_directories_of_runs_and_patterns(many: Path, monkeypatch) -> None:
    monkeypatch.chdir(many.parent)

    assert names(reading.places([many])) == ["a", "b", "0123"]
    assert names(reading.places(["many/b", many / "a"])) == ["b", "a"]
    assert names(reading.places(["many/[ab]"])) == ["a", "b"]
    assert names(reading.places([f"{many}/*"])) == ["a", "b", "0123"]
    assert names(reading.places(["**/0123", "many/a", "many/?"])) == ["0123", "a", "b"]


def test_a_run_by_several_spellings_is_one_run(many: Path, monkeypatch) -> None:
    (many.parent / "link").symlink_to(many / "a")
    monkeypatch.chdir(many)

    assert reading.places(["a", many / "a", "../many/a", "../link"]) == [Path("a")]
    assert reading.places(["../many/b", many]) == [Path("../many/b"), many / "a",
                                                   many / "campaign" / "0123"]  # fmt: skip
    assert len(cnnbench.load("a", many / "a")) == 2


def test_a_place_without_a_run_is_refused_at_once(many: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(StoreError, match="gone does not exist"):
        cnnbench.load(many, tmp_path / "gone")
    for place in (tmp_path / "empty", many / "a" / store.MANIFEST):
        with pytest.raises(StoreError, match="is not a cnnbench run: it has no manifest"):
            cnnbench.load(many, place)
    with pytest.raises(StoreError, match=r"no run matches '.*/x\*'"):
        cnnbench.load(many / "x*")


def test_an_empty_name_is_not_the_current_folder(many: Path, monkeypatch) -> None:
    monkeypatch.chdir(many)

    for asked in (("",), (many, "")):
        with pytest.raises(UsageError, match="the name of a run is empty"):
            cnnbench.load(*asked)


def test_a_directory_whose_name_is_a_pattern_is_itself(tmp_path: Path, eager) -> None:
    made.directory(tmp_path / "run[1]", [eager])

    assert names(reading.places([tmp_path / "run[1]"])) == ["run[1]"]


def test_nothing_is_read_before_it_is_asked_for(many: Path, reads: list[str]) -> None:
    results = cnnbench.load(many)
    assert reads == []
    assert repr(results.runs) == "LazyRuns(3 runs, 0 read)"

    passing = results.each()
    assert reads == []
    first = next(passing)
    assert (reads, len(first)) == (["a"], 2)
    next(passing)
    assert reads == ["a", "b"]


def test_what_is_asked_for_by_place_is_read_once(many: Path, reads: list[str]) -> None:
    runs = cnnbench.load(many).runs

    assert (runs[-1].path.name, runs[-1].path.name, reads) == ("0123", "0123", ["0123"])
    assert [run.path.name for run in runs[:2]] == ["a", "b"]
    assert [run.path.name for run in runs] == ["a", "b", "0123"]
    assert sorted(reads) == ["0123", "a", "b"]
    with pytest.raises(IndexError):
        runs[3]
    assert runs == tuple(runs)
    assert runs != 3
    assert hash(runs) == hash(LazyRuns(reading.places([many])))


def test_a_frame_of_all_runs_keeps_none(many: Path, reads: list[str]) -> None:
    results = cnnbench.load(many)

    frame = results.frame()
    slices = results.frame("slices")

    assert reads == ["a", "b", "0123"] * 2
    assert repr(results.runs) == "LazyRuns(3 runs, 0 read)"
    assert list(frame["run"]) == ["a", "a", "b", "0123"]
    assert len(slices) == frame["slices"].sum()
    assert len(results) == 4
    assert list(results.frame()["spec"]) == [one.id for one in results]
    with pytest.raises(UnknownName, match="unknown table 'rows'"):
        results.frame("rows")


def test_a_damaged_run_is_named_when_it_is_reached(many: Path) -> None:
    (many / "b" / store.MANIFEST).write_text("{}")

    results = cnnbench.load(many)
    passing = results.each()

    assert len(next(passing)) == 2
    with pytest.raises(SchemaError, match=r"b/manifest.json"):
        next(passing)
    with pytest.raises(SchemaError, match=r"b/manifest.json"):
        results.frame()


def test_a_part_is_passed_and_framed_as_a_part(many: Path, twice_as_fast) -> None:
    part = cnnbench.load(many)[twice_as_fast.spec.mode.text]

    assert [len(one) for one in part.each()] == [1, 1]
    assert list(part.frame()["run"]) == ["a", "0123"]
    # The speed-up of a part is that of its whole run.
    assert next(part.each()).frame()["speedup"].tolist() == [pytest.approx(2, rel=0.1)]


def test_what_was_copied_or_merged_counts_once(tmp_path: Path, eager, twice_as_fast) -> None:
    # The reference mode of the last run is the copy: gains over it stay.
    made.directory(tmp_path / "all", [eager, twice_as_fast])
    made.directory(tmp_path / "part", [eager])
    made.directory(tmp_path / "part2", [eager, made.record(made.BF16, [[3.0]] * 3)])

    found = cnnbench.load(tmp_path)
    frame = found.frame()

    assert [one.id for one in found.records] == [made.EAGER, made.CHANNELS_LAST, made.BF16]
    assert list(frame["spec"]) == [one.id for one in found.records]
    assert frame["speedup"].notna().all()
    # A run as it is.
    assert [len(one.runs[0].records) for one in found.each()] == [2, 1, 2]
    copies = Copies()
    assert [copies.have_all(run) for run in found.runs] == [False, True, False]


def test_what_was_measured_again_or_beside_it_is_no_copy(tmp_path: Path, eager) -> None:
    """The sides of a comparison share spec, environment, second and names of ensembles."""
    again = made.record(made.EAGER, [[20.0]] * 3)
    assert [one.ensemble for one in again.runs] == [one.ensemble for one in eager.runs]
    made.directory(tmp_path / "base", [eager])
    made.directory(tmp_path / "head", [again])

    assert len(cnnbench.load(tmp_path).records) == 2
    assert len(cnnbench.load(tmp_path).frame()) == 2


def test_failures_of_two_seconds_are_two(tmp_path: Path, failed) -> None:
    later = replace(failed, measured_at="2026-02-03T04:05:06+00:00")
    for name, one in (("a", failed), ("b", failed), ("c", later)):
        made.directory(tmp_path / name, [one])

    assert len(cnnbench.load(tmp_path).records) == 2
