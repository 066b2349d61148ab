from __future__ import annotations

import errno
import json
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cnnbench import store
from cnnbench.errors import SchemaError, StoreError
from cnnbench.plan import Plan
from cnnbench.report.entry import entries
from cnnbench.report.table import tidy
from tests import made

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cnnbench.record import Record


@pytest.fixture
def records(eager, twice_as_fast, failed) -> list[Record]:
    # Short ones, because they are cut at every byte.
    return [
        replace(eager, runs=eager.runs[:1], cost=None, reference=None, memory=None),
        replace(twice_as_fast, runs=(), cost=None, reference=None, memory=None),
        replace(failed, cost=None, reference=None),
    ]


@pytest.fixture
def directory(tmp_path: Path, records: list[Record]) -> Path:
    return made.directory(tmp_path / "run", records)


def test_what_was_written_is_read(directory: Path, records: list[Record]) -> None:
    stored = store.read(directory)

    assert stored.records == tuple(records)
    assert stored.environment == made.ENVIRONMENT
    assert stored.manifest.specs == tuple(record.id for record in records)
    assert (stored.missing, stored.problems) == ((), ())


def test_specs_without_a_record_are_missing(tmp_path: Path, eager: Record) -> None:
    path = made.directory(tmp_path / "run", [eager], specs=[made.BF16, made.EAGER, "c"])

    assert store.read(path).missing == (made.BF16, "c")


def test_a_run_without_records_yet_misses_everything(tmp_path: Path) -> None:
    path = made.directory(tmp_path / "run", [], specs=[made.EAGER])
    (path / store.RECORDS).unlink()

    assert store.read(path).missing == (made.EAGER,)


def cut(data: bytes) -> Iterator[tuple[int, int]]:
    """Every length, and how many records are whole in so many bytes."""
    for length in range(len(data) + 1):
        head = data[:length]
        # A last line whose line break alone is missing is whole.
        closed = data[length : length + 1] == b"\n"
        yield length, head.count(b"\n") + closed


def test_cut_at_any_byte_no_whole_record_is_lost(directory: Path, records: list[Record]) -> None:
    path = directory / store.RECORDS
    data = path.read_bytes()
    for length, whole in cut(data):
        path.write_bytes(data[:length])

        stored = store.read(directory)

        assert stored.records == tuple(records[:whole]), length
        torn = length > 0 and data[length - 1 : length] != b"\n" and data[length : length + 1]
        assert len(stored.problems) == bool(torn and torn != b"\n"), length


def test_cut_at_any_byte_a_run_can_be_continued(directory: Path, records, monkeypatch) -> None:
    # Flushing to a real disk a thousand times would take most of the time of all tests.
    monkeypatch.setattr(store.os, "fsync", lambda file: None)
    path = directory / store.RECORDS
    data = path.read_bytes()
    for length, whole in cut(data):
        path.write_bytes(data[:length])
        with store.Writer(directory):
            pass  # a second kill, before anything was appended
        assert store.read(directory).records == tuple(records[:whole]), length
        with store.Writer(directory) as writer:
            writer.append(records[whole:])

        stored = store.read(directory)

        assert stored.records == tuple(records), length


def test_a_torn_line_is_told_with_its_place(directory: Path) -> None:
    path = directory / store.RECORDS
    path.write_bytes(path.read_bytes()[:-10])

    problems = store.read(directory).problems

    assert problems == (f"{path}:3: incomplete line skipped (the writer was killed here)",)


@pytest.mark.parametrize(
    ("spoilt", "why"),
    [
        (lambda line: line[:-10], "damaged line skipped"),
        (lambda line: line.replace(b'"build_ns":5000000', b'"build_ns":NaN', 1),
         "line skipped: NaN is no figure"),
        (lambda line: line.replace(b'"build_ns":5000000', b'"build_ns":-Infinity', 1),
         "line skipped: -Infinity is no figure"),
    ],
)  # fmt: skip
def test_a_line_that_is_whole_but_damaged_was_not_torn_by_a_kill(
    directory: Path, spoilt, why: str
) -> None:
    path = directory / store.RECORDS
    first, *others = path.read_bytes().splitlines()
    path.write_bytes(b"\n".join([spoilt(first), *others]) + b"\n")

    stored = store.read(directory)

    assert stored.problems == (f"{path}:1: {why}",)
    assert len(stored.records) == 2


def test_a_newer_record_is_refused_whatever_else_is_in_it(directory: Path) -> None:
    path = directory / store.RECORDS
    newer = path.read_bytes().replace(b'"schema":10', b'"schema":99')
    path.write_bytes(newer.replace(b'"build_ns":5000000', b'"build_ns":NaN'))

    with pytest.raises(SchemaError, match="record schema 99 is not known"):
        store.read(directory)


def test_what_cannot_be_read_does_not_take_the_place_of_what_can(directory: Path) -> None:
    path = directory / store.RECORDS
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*lines, lines[0].replace(b'"build_ns":5000000', b'"build_ns":NaN')]))

    with store.Writer(directory) as writer:
        writer.settle()

    assert [one.id for one in store.read(directory).records][:1] == [made.EAGER]
    assert len(store.read(directory).records) == 3


def test_a_figure_that_may_be_unknown_and_is_none_is_unknown(directory: Path) -> None:
    path = directory / store.RECORDS
    # As older versions wrote an agreement of no classes.
    path.write_bytes(path.read_bytes().replace(b'"top1_agreement":1.0', b'"top1_agreement":NaN'))

    stored = store.read(directory)

    assert stored.problems == ()
    checks = [run.check for one in stored.records for run in one.runs]
    assert checks
    assert {check and check.top1_agreement for check in checks} == {None}


def test_of_several_records_of_a_spec_the_last_counts(directory: Path, eager: Record) -> None:
    later = replace(eager, notes=("again",))
    with store.Writer(directory) as writer:
        writer.append([later])

    stored = store.read(directory)

    assert [record for record in stored.records if record.id == made.EAGER] == [later]
    assert len(stored.records) == 3


def test_what_is_read_for_reports_lacks_only_what_no_report_looks_at() -> None:
    path = Path(__file__).parents[1] / "results" / "quick-cpu"
    whole, lean = store.read(path), store.read(path, reports=True)

    assert tidy(entries([lean])) == tidy(entries([whole]))
    runs = [run for record in lean.records for run in record.runs]
    assert {len(run.warmup_ns) for run in runs} == {1}
    assert not any(run.flags for run in runs)
    assert any(run.flags for record in whole.records for run in record.runs)


def test_the_end_of_a_run_leaves_one_record_of_each_spec_in_the_manifests_order(
    directory: Path, records
) -> None:
    path = directory / store.RECORDS
    torn = path.read_bytes().splitlines()[0][:-10]
    path.write_bytes(path.read_bytes() + torn + b"\n\0\0\n")
    later = replace(records[0], notes=("later",))
    with store.Writer(directory) as writer:
        writer.append([replace(records[0], notes=("soon",))])
        writer.append([later])
        before = store.read(directory)
        writer.settle()

    after = store.read(directory)

    lines = path.read_bytes().splitlines()
    assert len(lines) == len(records) + 2
    assert torn in lines
    assert {one.id: one for one in after.records} == {one.id: one for one in before.records}
    assert [one for one in after.records if one.id == later.id] == [later]
    order = [name for name in after.manifest.specs if name in {one.id for one in records}]
    assert [one.id for one in after.records] == order
    names = {path.name for path in directory.iterdir()}
    assert names == {store.ENVIRONMENT, store.MANIFEST, store.RECORDS}


def test_without_room_for_another_file_the_records_stay_as_they_are(
    directory: Path, records, monkeypatch
) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    path = directory / store.RECORDS
    with store.Writer(directory) as writer:
        writer.append([replace(records[0], notes=("later",))])
        before = path.read_bytes()
        monkeypatch.setattr(store.os, "fsync", full)
        writer.settle()

    assert path.read_bytes() == before
    assert not path.with_suffix(".tmp").exists()


def test_zeros_that_a_crashed_disk_left_are_skipped(directory: Path, records) -> None:
    path = directory / store.RECORDS
    path.write_bytes(path.read_bytes() + b"\0" * 100)
    with store.Writer(directory) as writer:
        writer.append([replace(records[0], notes=("after",))])

    stored = store.read(directory)

    assert len(stored.records) == 3
    assert [one.notes for one in stored.records if one.id == records[0].id] == [("after",)]


def test_empty_lines_are_no_problem(directory: Path) -> None:
    path = directory / store.RECORDS
    path.write_bytes(b"\n\r\n" + path.read_bytes() + b"\n \n")

    assert len(store.read(directory).records) == 3
    assert store.read(directory).problems == ()


@given(st.binary(max_size=80))
def test_foreign_bytes_are_skipped_or_refused_but_never_crash(junk: bytes) -> None:
    with TemporaryDirectory() as folder:
        path = made.directory(Path(folder) / "run", [made.failed(made.EAGER)])
        with (path / store.RECORDS).open("ab") as file:
            file.write(junk)
        try:
            ids = [record.id for record in store.read(path).records]
        except StoreError:
            return

    assert ids == [made.EAGER]


@pytest.mark.parametrize(
    "text", ["hello\nworld\n", "\x89PNG\r\n", '"a"\n[1]\n', "model,latency\nlenet,1\n"]
)
def test_a_foreign_file_in_place_of_the_records_is_refused(directory: Path, text: str) -> None:
    (directory / store.RECORDS).write_text(text, encoding="latin1")

    with pytest.raises(StoreError, match="record"):
        store.read(directory)


def test_deeply_nested_json_is_refused(directory: Path) -> None:
    (directory / store.RECORDS).write_bytes(b"[" * 200_000 + b"\n")

    with pytest.raises(StoreError):
        store.read(directory)


def test_a_record_of_a_newer_schema_is_refused_with_its_place(directory: Path) -> None:
    path = directory / store.RECORDS
    lines = path.read_text().splitlines()
    lines[1] = json.dumps(json.loads(lines[1]) | {"schema": 99})
    path.write_text("\n".join(lines) + "\n")

    with pytest.raises(SchemaError, match=r"records\.jsonl:2: record schema 99.*newer cnnbench"):
        store.read(directory)


def test_a_record_with_a_broken_id_is_refused_with_its_place(directory: Path) -> None:
    path = directory / store.RECORDS
    lines = path.read_text().splitlines()
    lines[1] = json.dumps(json.loads(lines[1]) | {"id": "nonsense"})
    path.write_text("\n".join(lines) + "\n")

    with pytest.raises(StoreError, match=r"records\.jsonl:2: 'nonsense' is not a spec id"):
        store.read(directory)


@pytest.mark.parametrize("name", [store.MANIFEST, store.ENVIRONMENT])
def test_without_manifest_or_environment_it_is_no_run(directory: Path, name: str) -> None:
    (directory / name).unlink()

    with pytest.raises(StoreError, match=f"is not a cnnbench run: it has no {name}"):
        store.read(directory)


@pytest.mark.parametrize("name", [store.MANIFEST, store.ENVIRONMENT])
@pytest.mark.parametrize("text", ["", "{", "not json", '{"run": '])
def test_a_file_that_is_not_json_is_named(directory: Path, name: str, text: str) -> None:
    (directory / name).write_text(text)

    with pytest.raises(StoreError, match=f"{name}: not valid JSON"):
        store.read(directory)


@pytest.mark.parametrize("name", [store.MANIFEST, store.ENVIRONMENT])
@pytest.mark.parametrize("text", ["[]", "3", "{}", '{"name": "some-npm-package"}'])
def test_json_of_another_program_is_named_with_its_path(
    directory: Path, name: str, text: str
) -> None:
    (directory / name).write_text(text)

    with pytest.raises(StoreError) as caught:
        store.read(directory)

    assert str(caught.value).startswith(str(directory / name))


def test_a_manifest_of_a_newer_schema_is_refused(directory: Path) -> None:
    path = directory / store.MANIFEST
    path.write_text(json.dumps(json.loads(path.read_text()) | {"schema": 2}))

    with pytest.raises(SchemaError, match="schema 2 is not known"):
        store.read(directory)


def test_a_directory_that_is_not_there_is_no_run(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="is not a cnnbench run"):
        store.read(tmp_path / "nowhere")


def create(path: Path) -> store.Writer:
    return store.create(path, store.manifest("x", [], Plan(), "fake"), made.ENVIRONMENT)


def test_a_directory_that_holds_another_run_is_left_alone(directory: Path) -> None:
    before = {path.name: path.read_bytes() for path in directory.iterdir()}

    with pytest.raises(
        StoreError, match=r"holds another run; continue it with cnnbench run --resume .*--out"
    ):
        create(directory)

    assert {path.name: path.read_bytes() for path in directory.iterdir()} == before


def test_a_directory_that_holds_other_files_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("dear")

    with pytest.raises(StoreError, match="holds other files"):
        create(tmp_path)

    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_file_in_place_of_the_directory_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(StoreError, match="file"):
        create(tmp_path / "file")
    with pytest.raises(StoreError, match="below"):
        create(tmp_path / "file" / "below")


def test_an_empty_directory_is_used(tmp_path: Path) -> None:
    with create(tmp_path) as writer:
        writer.append([])

    assert store.read(tmp_path).records == ()


def test_two_writers_lock_each_other_out(directory: Path) -> None:
    with (
        store.Writer(directory),
        pytest.raises(StoreError, match="another cnnbench is writing to this run"),
    ):
        store.Writer(directory)


def test_a_writer_that_is_gone_locks_nobody_out(directory: Path, eager: Record) -> None:
    with store.Writer(directory):
        pass

    with store.Writer(directory) as writer:
        writer.append([eager])

    assert len(store.read(directory).records) == 3


def test_records_that_cannot_be_opened_are_one_line(directory: Path) -> None:
    (directory / store.RECORDS).unlink()
    (directory / store.RECORDS).mkdir()

    with pytest.raises(StoreError, match=r"records\.jsonl"):
        store.Writer(directory)
    with pytest.raises(StoreError, match=r"records\.jsonl"):
        store.read(directory)


def test_a_full_disk_is_one_line(directory: Path, eager, monkeypatch) -> None:
    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    with store.Writer(directory) as writer:
        monkeypatch.setattr(store.os, "write", full)
        with pytest.raises(StoreError, match=r"records\.jsonl: No space left on device"):
            writer.append([eager])


def test_records_of_a_batch_are_one_write(directory: Path, records, monkeypatch) -> None:
    written = []
    write = store.os.write
    monkeypatch.setattr(
        store.os, "write", lambda file, data: (written.append(data), write(file, data))[1]
    )

    with store.Writer(directory) as writer:
        writer.append(records)

    assert [data.count(b"\n") for data in written] == [3]


def test_records_are_on_the_disk_before_they_are_reported(directory: Path, eager, monkeypatch):
    events = []
    write, flush = store.os.write, store.os.fsync
    monkeypatch.setattr(store.os, "write", lambda *a: (events.append("write"), write(*a))[1])
    monkeypatch.setattr(store.os, "fsync", lambda *a: (events.append("flush"), flush(*a))[1])

    with store.Writer(directory) as writer:
        writer.append([eager])

    assert events == ["write", "flush"]


def test_short_writes_are_completed(directory: Path, eager: Record, monkeypatch) -> None:
    write = store.os.write
    monkeypatch.setattr(store.os, "write", lambda file, data: write(file, data[:7]))

    with store.Writer(directory) as writer:
        writer.append([replace(eager, notes=("in pieces",))])

    found = [one for one in store.read(directory).records if one.id == eager.id]
    assert [one.notes for one in found] == [("in pieces",)]


def test_runs_merge_by_copying(directory: Path, tmp_path: Path) -> None:
    copy = tmp_path / "elsewhere"
    copy.mkdir()
    for path in directory.iterdir():
        (copy / path.name).write_bytes(path.read_bytes())

    assert store.read(copy).records == store.read(directory).records


def test_names_of_runs_differ() -> None:
    assert len({store.new_run_name() for _ in range(50)}) == 50


def test_a_spec_that_was_measured_in_place_of_a_planned_one_is_what_the_run_is_of(
    tmp_path: Path, eager: Record
) -> None:
    what = store.manifest("run", ["planned", "other"], Plan(), "fake")
    with store.create(tmp_path / "run", what, made.ENVIRONMENT) as writer:
        writer.replan({"planned": eager.id})
        writer.replan({"other": "other"})
        writer.replan({}, ["further", "other"])
        writer.append([eager])

    stored = store.read(tmp_path / "run")
    assert stored.manifest.specs == (eager.id, "other", "further")
    assert stored.missing == ("other", "further")
