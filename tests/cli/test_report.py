from __future__ import annotations

import csv
import io
import json
import re
from dataclasses import replace
from pathlib import Path
from urllib.parse import unquote

import pytest

from cnnbench import axes, record, store
from cnnbench.codec import encode
from cnnbench.report import FORMATS
from tests import made


@pytest.fixture
def run(tmp_path, eager, twice_as_fast, failed):
    return made.directory(tmp_path / "a", [eager, twice_as_fast, failed])


@pytest.mark.parametrize("field", axes.pivots())
@pytest.mark.parametrize("kind", FORMATS)
def test_what_only_training_has_is_missing_elsewhere_in_every_pivot(
    cnnbench_cli, tmp_path, field: str, kind: str
) -> None:
    names = [made.EAGER, made.EAGER.replace("inference", "training")]
    made.directory(tmp_path / "both", [made.record(name, [[10]] * 3) for name in names])

    done = cnnbench_cli("report", "both", "--pivot", field, "--format", kind)

    assert done.exit_code == 0, done.stderr
    assert not re.search(r"\bnan\b", done.stdout, re.IGNORECASE)
    if kind == "json":
        for row in json.loads(done.stdout, parse_constant=pytest.fail):
            assert row.get("optimizer") != ""


@pytest.mark.parametrize("kind", ["table", "markdown", "csv", "json"])
def test_every_format_is_shown_and_written_alike(cnnbench_cli, run, kind: str) -> None:
    shown = cnnbench_cli("report", run, "--format", kind)
    written = cnnbench_cli("report", run, "--format", kind, "-o", "out")

    assert (shown.exit_code, written.exit_code, written.stdout) == (0, 0, "")
    assert (run.parent / "out").read_bytes() == shown.stdout_bytes


def test_the_table_is_the_default(cnnbench_cli, run) -> None:
    default, table = (cnnbench_cli("report", run, *w).stdout for w in ([], ["--format", "table"]))

    assert default == table
    assert "2.00x" in table


def test_csv_and_json_hold_the_same_rows(cnnbench_cli, run) -> None:
    rows = list(csv.DictReader(io.StringIO(cnnbench_cli("report", run, "--format", "csv").stdout)))
    objects = json.loads(cnnbench_cli("report", run, "--format", "json").stdout)

    assert [row["spec"] for row in rows] == [row["spec"] for row in objects]
    assert list(rows[0]) == list(objects[0])


def test_several_directories_join(cnnbench_cli, run, eager) -> None:
    other = made.directory(run.parent / "b", [eager])

    rows = json.loads(cnnbench_cli("report", run, other, "--format", "json").stdout)

    assert [row["run"] for row in rows] == ["a", "a", "a", "b"]


def test_a_pivot_has_a_column_per_mode(cnnbench_cli, run) -> None:
    text = cnnbench_cli("report", run, "--pivot", "mode", "--format", "markdown").stdout

    header = next(line for line in text.splitlines() if line.startswith("| model"))
    assert header == "| model | eager | channels_last | vs eager | amp=bf16 | vs eager |"


def test_a_pivot_shows_the_metric_that_is_asked_for(cnnbench_cli, run) -> None:
    words = ["--pivot", "batch", "--metric", "params", "--format", "csv"]

    assert "61706.0" in cnnbench_cli("report", run, *words).stdout


def test_a_torn_line_is_told_and_the_rest_is_shown(cnnbench_cli, run) -> None:
    path = run / store.RECORDS
    path.write_bytes(path.read_bytes()[:-20])

    result = cnnbench_cli("report", run)

    assert result.exit_code == 0
    line = "incomplete line skipped (the writer was killed here)"
    again = f"1 spec without a record: cnnbench run --resume {run} measures the rest"
    assert result.stderr == f"cnnbench: {path}:3: {line}\ncnnbench: {again}\n"
    assert "channels_last" in result.stdout


def test_a_run_killed_in_its_first_record_is_an_empty_table(cnnbench_cli, run) -> None:
    path = run / store.RECORDS
    path.write_bytes(path.read_bytes()[:50])

    result = cnnbench_cli("report", run)

    assert result.exit_code == 0
    assert "incomplete line" in result.stderr


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["nowhere"], "nowhere is not a cnnbench run: it has no manifest.json"),
        (["a", "--format", "markdwon"], "unknown format 'markdwon'; did you mean markdown"),
        (["a", "--pivot", "modes"], "unknown field 'modes'; did you mean mode"),
        (["a", "--pivot", "mode", "--metric", "x"], "unknown metric 'x'"),
        (["a", "-o", "no/such/place"], "no/such/place: No such file or directory"),
    ],
)
def test_bad_input_is_one_line_on_stderr(cnnbench_cli, run, words, text: str) -> None:
    result = cnnbench_cli("report", *words)

    assert (result.exit_code, result.stdout, result.stderr.count("\n")) == (2, "", 1)
    assert result.stderr.startswith("cnnbench: ")
    assert text in result.stderr


@pytest.mark.parametrize("name", [store.MANIFEST, store.ENVIRONMENT, store.RECORDS])
@pytest.mark.parametrize("data", [b"", b"{", b"\xff\xfe\0", b"[1, 2]\n", b'{"name": 1}\n'])
def test_foreign_files_are_one_line_without_a_traceback(cnnbench_cli, run, name, data) -> None:
    (run / name).write_bytes(data)

    result = cnnbench_cli("report", run)

    empty = name == store.RECORDS and data in (b"", b"{")
    assert result.exit_code == (0 if empty else 2)
    # Of what was being written, and of how to go on.
    assert result.stderr.count("\n") == ((2 if data else 0) if empty else 1)
    assert "Traceback" not in result.stderr
    assert str(run) in (result.stderr or str(run))


@pytest.mark.parametrize("kind", ["table", "markdown", "csv", "json"])
def test_scaling_is_shown_in_every_format(cnnbench_cli, tmp_path, kind: str) -> None:
    records = [made.record(made.EAGER.replace("b8", f"b{n}"), [[n + 1] * 3] * 2) for n in (1, 8)]
    path = made.directory(tmp_path / "curve", records)

    result = cnnbench_cli("report", path, "--scaling", "--format", kind)

    assert result.exit_code == 0
    assert "not yet" in result.stdout


def test_scaling_and_pivot_are_two_tables(cnnbench_cli, run) -> None:
    result = cnnbench_cli("report", run, "--scaling", "--pivot", "mode")

    assert (result.exit_code, result.stderr.count("\n")) == (2, 1)


def test_html_is_written_as_one_page(cnnbench_cli, run) -> None:
    result = cnnbench_cli("report", run, "--format", "html", "-o", "report.html")

    text = (run.parent / "report.html").read_text(encoding="utf8")
    assert (result.exit_code, result.stdout) == (0, "")
    assert text.startswith("<!doctype html>")
    assert "2.00x" in text


def test_a_page_shows_what_changed_against_a_baseline(cnnbench_cli, run, eager) -> None:
    slower = made.record(made.CHANNELS_LAST, [[10, 10, 10]] * 3)
    other = made.directory(run.parent / "b", [eager, slower])

    text = cnnbench_cli("report", other, "--format", "html", "--baseline", run).stdout
    refused = cnnbench_cli("report", other, "--baseline", run)

    changes = text.partition('<section id="changes">')[2].partition("</section>")[0]
    assert "regression" in changes
    assert 'id="changes"' not in cnnbench_cli("report", other, "--format", "html").stdout
    assert (refused.exit_code, refused.stderr.count("\n")) == (2, 1)


def test_the_page_obeys_filter_sort_and_columns(cnnbench_cli, run) -> None:
    words = ["--filter", "status=ok", "--sort", "latency", "--columns", "mode,latency"]

    text = cnnbench_cli("report", run, "--format", "html", *words).stdout

    table = text[text.index('<table id="all">') :].partition("</table>")[0]
    assert table.index("channels_last") < table.index("eager")
    assert "amp=bf16" not in table
    assert table.count("<th") == 2 + 1  # two headings, and thead itself


def test_rows_are_filtered_sorted_and_chosen_in_every_format(cnnbench_cli, run) -> None:
    words = ["--filter", "latency<20ms", "--sort", "-latency", "--columns", "mode,speedup"]

    shown = {kind: cnnbench_cli("report", run, *words, "--format", kind).stdout
             for kind in ("table", "markdown", "latex", "csv", "json")}  # fmt: skip

    assert shown["csv"].splitlines() == ["mode,speedup", "eager,1.0", "channels_last,2.0"]
    assert [row["mode"] for row in json.loads(shown["json"])] == ["eager", "channels_last"]
    for kind in ("table", "markdown", "latex"):
        assert shown[kind].index("1.00x") < shown[kind].index("2.00x")


def test_a_long_markdown_table_is_folded_by_family(cnnbench_cli, tmp_path) -> None:
    names = [f"{model}/inference-b1-3x{size}x{size}/eager/cpu-t2"
             for model in ("resnet18", "vgg11") for size in range(32, 64)]  # fmt: skip
    run = made.directory(tmp_path / "long", [made.record(name, [[10] * 3] * 3) for name in names])

    text = cnnbench_cli("report", run, "--format", "markdown").stdout

    opened = [part.partition("</details>") for part in text.split("<details>")[1:]]
    assert [
        (part.partition("</summary>")[0], part.count("| resnet18 |"), part.count("| vgg11 |"))
        for part, _, _ in opened
    ] == [("<summary>family ResNet (32 rows)", 32, 0), ("<summary>family VGG (32 rows)", 0, 32)]
    assert [closed for _, closed, _ in opened] == ["</details>"] * 2
    assert text.partition("Every row")[2].count("| eager |") == 64


def test_colour_is_for_terminals_and_on_demand(cnnbench_cli, run, monkeypatch) -> None:
    plain, always, never = (
        cnnbench_cli("report", run, *words).stdout
        for words in ([], ["--color", "always"], ["--color", "never"])
    )

    assert "\x1b[" not in plain + never
    assert "\x1b[31m" in always  # the failed row
    assert "\x1b[32m" in always  # twice as fast, for sure
    assert plain == never


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["--filter", "mode"], "filter, at character 5: expected one of"),
        (["--filter", "latency<5mms"], "'5mms' is not a number with one of ns us"),
        (["--columns", "latncy"], "unknown column 'latncy'; did you mean latency"),
        (["--sort", "-latncy"], "unknown column 'latncy'; did you mean latency"),
        (["--group-by", "modes"], "unknown column 'modes'; did you mean mode"),
        (["--pivot", "mode", "--sort", "latency"], "--sort cannot be combined with --pivot"),
        (["--pivot", "mode", "--format", "html"], "--pivot cannot be combined with --format html"),
        (["--color", "blue"], "'blue' is not one of"),
    ],
)
def test_a_wrong_wish_is_one_line(cnnbench_cli, run, words, text: str) -> None:
    result = cnnbench_cli("report", run, *words)

    assert (result.exit_code, result.stdout, result.stderr.count("\n")) == (2, "", 1)
    assert text in result.stderr


PEOPLE = ("table", "markdown", "latex", "html")


@pytest.mark.parametrize("kind", PEOPLE)
def test_a_run_without_records_says_so(cnnbench_cli, tmp_path, kind: str) -> None:
    run = made.directory(tmp_path / "empty", [], [made.EAGER])

    result = cnnbench_cli("report", run, "--format", kind)

    assert result.exit_code == 0
    assert "run empty has no records (1 spec planned)" in result.stdout


@pytest.mark.parametrize("kind", PEOPLE)
def test_a_run_of_failures_says_so(cnnbench_cli, tmp_path, kind: str) -> None:
    run = made.directory(tmp_path / "sad", [made.failed(made.EAGER), made.failed(made.BF16)])

    result = cnnbench_cli("report", run, "--format", kind)

    assert result.exit_code == 0
    assert "run sad: every spec failed, so there are no numbers" in result.stdout
    assert "ValueError: made up" in result.stdout


@pytest.mark.parametrize("kind", PEOPLE)
def test_an_unfinished_run_and_one_given_twice_say_so(cnnbench_cli, tmp_path, eager, kind) -> None:
    run = made.directory(tmp_path / "half", [eager], [made.EAGER, made.BF16])

    result = cnnbench_cli("report", run, run, "--format", kind)

    assert result.exit_code == 0
    assert "run half: not measured yet: 1 of 2 specs" in result.stdout
    assert "2 of the directories contain run half" in result.stdout


def test_records_of_old_and_new_schemas_stand_in_one_report(cnnbench_cli, run) -> None:
    path = run / store.RECORDS
    lines = path.read_text(encoding="utf8").splitlines()
    runs = record.from_json(json.loads(lines[0])).runs
    lists = [encode(one) | {"slices": [encode(part) for part in one.slices]} for one in runs]
    old = json.loads(lines[0]) | {"schema": 1, "id": made.EAGER.replace("b8", "b2"), "runs": lists}
    path.write_text("\n".join([*lines, json.dumps(old)]) + "\n", encoding="utf8")

    for kind in ("csv", *PEOPLE):
        result = cnnbench_cli("report", run, "--format", kind)

        assert (result.exit_code, result.stderr) == (0, "")
    assert len(cnnbench_cli("report", run, "--format", "csv").stdout.splitlines()) == 5


def test_records_that_lack_what_is_optional_are_shown(cnnbench_cli, run) -> None:
    path = run / store.RECORDS
    rows = [json.loads(line) for line in path.read_text(encoding="utf8").splitlines()]
    bare = [{k: v for k, v in row.items() if k not in {"cost", "memory", "reference"}}
            for row in rows]  # fmt: skip
    path.write_text("".join(json.dumps(row) + "\n" for row in bare), encoding="utf8")

    for kind in ("csv", "json", *PEOPLE):
        assert cnnbench_cli("report", run, "--format", kind).exit_code == 0


def test_markdown_with_pictures_shows_files_beside_it(cnnbench_cli, run) -> None:
    pytest.importorskip("matplotlib")
    words = ["--format", "markdown", "-o", "my report.md"]

    plain = cnnbench_cli("report", run, *words)
    table = (run.parent / "my report.md").read_text(encoding="utf8")
    drawn = cnnbench_cli("report", run, *words, "--pictures")

    assert (plain.exit_code, drawn.exit_code) == (0, 0)
    text = (run.parent / "my report.md").read_text(encoding="utf8")
    assert text.startswith(table)
    addresses = re.findall(r"\]\(([^)]*\.svg)\)", text)
    assert len(addresses) >= 2
    assert all((run.parent / unquote(one)).is_file() for one in addresses)


@pytest.mark.parametrize("words", [["--format", "markdown"], ["--format", "html", "-o", "x"], []])
def test_pictures_need_a_markdown_file_to_stand_in(cnnbench_cli, run, words) -> None:
    result = cnnbench_cli("report", run, *words, "--pictures")

    assert result.exit_code == 2
    assert "--pictures needs --format markdown -o FILE" in result.stderr


def test_pictures_that_cannot_be_written_are_one_line(cnnbench_cli, run) -> None:
    pytest.importorskip("matplotlib")
    (run.parent / "out-pictures").write_text("in the way")

    result = cnnbench_cli("report", run, "--format", "markdown", "-o", "out.md", "--pictures")

    assert result.exit_code == 2
    assert "out-pictures: File exists" in result.stderr
    assert not (run.parent / "out.md").exists()


def change(run, name: str, data) -> None:
    path = run / name
    path.write_text(json.dumps(json.loads(path.read_text(encoding="utf8")) | data))


@pytest.mark.parametrize(
    "hard",
    [{"torch": "2.0"}, {"gpus": 5}, {"gpus": ["x"]}, {"cores_usable": "2"}, {"variables": [1]},
     {"cpu_quota": "1"}],
)  # fmt: skip
@pytest.mark.parametrize("kind", ["table", "csv", "html"])
def test_an_environment_of_another_shape_is_one_line(cnnbench_cli, run, hard, kind: str) -> None:
    change(run, store.ENVIRONMENT, {"hard": hard})

    result = cnnbench_cli("report", run, "--format", kind)

    (name,) = hard
    assert result.exit_code == 2
    assert f"environment.json: {name}: unexpected value for an environment" in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_records_of_another_environment_are_said(cnnbench_cli, run) -> None:
    change(run, store.ENVIRONMENT, {"hard": {"cpu": "Another"}})

    for kind in PEOPLE:
        text = cnnbench_cli("report", run, "--format", kind).stdout.replace(r"\_", "_")
        assert "measured in another environment than environment.json says: 3 of" in text


def test_a_number_of_thousands_of_digits_is_no_torn_line(cnnbench_cli, run) -> None:
    path = run / store.RECORDS
    lines = path.read_text(encoding="utf8").splitlines()
    path.write_text("\n".join([lines[0].replace("61706", "9" * 5000), *lines[1:]]) + "\n")

    result = cnnbench_cli("report", run)

    assert result.exit_code == 2
    assert "records.jsonl:1: invalid number" in result.stderr


def test_processes_without_samples_are_no_rounds_and_are_said(cnnbench_cli, tmp_path) -> None:
    path = made.directory(tmp_path / "a", [made.record(made.EAGER, [[10, 10], [10, 10], []])])

    table = " ".join(cnnbench_cli("report", path).stdout.split())
    (row,) = csv.DictReader(io.StringIO(cnnbench_cli("report", path, "--format", "csv").stdout))

    assert "1 of 3 processes gave no samples and are left out" in table
    assert "median over 2 rounds" in table
    assert row["rounds"] == "2"


@pytest.mark.parametrize("words", [["--pivot", "mode"], ["--scaling"], []])
def test_a_filter_that_leaves_nothing_is_said(cnnbench_cli, run, words) -> None:
    result = cnnbench_cli("report", run, *words, "--filter", "model=zzz")

    assert result.exit_code == 0
    assert "no row of 3 matches the filter model=zzz" in result.stdout


def test_half_a_surrogate_pair_stops_no_format(cnnbench_cli, tmp_path) -> None:
    path = made.directory(tmp_path / "a", [made.failed(made.EAGER, "x\ud800y")])

    for kind in ("csv", "json", *PEOPLE):
        assert cnnbench_cli("report", path, "--format", kind, "-o", "out").exit_code == 0
        assert "\ud800" not in Path("out").read_text(encoding="utf8")


def test_a_torn_line_of_the_baseline_is_said(cnnbench_cli, run) -> None:
    old = made.directory(run.parent / "old", [made.record(made.EAGER, [[10, 10]] * 3)])
    with (old / store.RECORDS).open("a") as file:
        file.write('{"id":')

    result = cnnbench_cli("report", run, "--format", "html", "--baseline", old, "-o", "x.html")

    assert result.exit_code == 0
    assert "incomplete line skipped" in result.stderr


def test_one_column_by_two_names_stands_there_once(cnnbench_cli, run) -> None:
    words = ["--columns", "model,latency,latency_median_s,model"]

    header = cnnbench_cli("report", run, *words, "--format", "csv").stdout.splitlines()[0]

    assert header == "model,latency_median_s"


def test_names_are_shown_as_written_and_ids_stay_quoted(cnnbench_cli, tmp_path, eager) -> None:
    quoted = "%E3%83%A2%E3%83%87%E3%83%AB:test_p%5B10%5D"
    made.directory(tmp_path / "odd", [replace(eager, id=eager.id.replace("lenet", quoted))])

    for kind, name in (
        ("table", "モデル:test_p[10]"),
        ("csv", "モデル:test_p[10]"),
        ("markdown", "モデル"),
    ):
        assert name in cnnbench_cli("report", "odd", "--format", kind).stdout
    (row,) = json.loads(cnnbench_cli("report", "odd", "--json").stdout)
    assert row["model"] == "モデル:test_p[10]"
    assert row["spec"].startswith(quoted)


def test_a_budget_keeps_what_fits_in_every_format(cnnbench_cli, run) -> None:
    said = cnnbench_cli("report", run, "--under", "7ms")
    rows = json.loads(cnnbench_cli("report", run, "--under", "7ms", "--json").stdout)
    wide = cnnbench_cli("report", run, "--under", "7ms", "--wide").stdout
    markdown = cnnbench_cli("report", run, "--under", "7ms", "--format", "markdown").stdout

    assert [row["mode"] for row in rows] == ["channels_last"]
    for text in (said.stdout, markdown):
        assert "Under 7.00 ms: lenet in channels_last (5.00 ms, 3.00 MiB) is the only one" in text
    assert "channels_last" in wide
    assert "amp=bf16" not in wide


@pytest.mark.parametrize("kind", ["csv", "json"])
def test_rows_alone_say_on_stderr_what_was_left_out(cnnbench_cli, run, kind) -> None:
    limited = cnnbench_cli("report", run, "--format", kind, "--under", "7ms")
    whole = cnnbench_cli("report", run, "--format", kind)
    people = cnnbench_cli("report", run, "--under", "7ms")

    (line,) = limited.stderr.splitlines()
    assert line.startswith("1 of 3 rows: a network each, in the mode to use, under 7.00 ms")
    assert (whole.stderr, people.stderr) == ("", "")
    assert "rows:" not in limited.stdout


def test_a_page_opens_with_the_limits_and_keeps_every_row(cnnbench_cli, run) -> None:
    words = ["report", run, "--format", "html", "--memory", "200MB"]
    fits, none = (cnnbench_cli(*words, "--under", text).stdout for text in ("7ms", "1us"))

    assert "Under 7.00 ms, in 200 MB: lenet in channels_last" in fits
    assert "nothing that was reliably measured fits; the nearest is lenet in" in none
    for text, limit in ((fits, "7 ms"), (none, "0.001 ms")):
        assert re.search(rf'id="limit-t"[^>]*value="{limit}"', text)
        assert re.search(r'id="limit-m"[^>]*value="200 MB"', text)
        assert "There are no records" not in text
        assert "<td>eager" in text
        assert 'id="strips"' in text


@pytest.mark.parametrize("words", [["--columns", "model,mode"], ["--wide"]])
def test_beside_chosen_columns_a_budget_says_what_fits(cnnbench_cli, run, words) -> None:
    fits, none = (cnnbench_cli("report", run, "--under", text, *words) for text in ("7ms", "1us"))

    assert "lenet in channels_last (5.00 ms, 3.00 MiB) is the only one" in made.flat(fits.stdout)
    assert "! Under 1.00 µs: nothing that was reliably measured fits" in made.flat(none.stdout)
    assert "no records" not in none.stdout


def test_pictures_are_of_what_fits(cnnbench_cli, run, monkeypatch) -> None:
    drawn = []
    monkeypatch.setattr(
        "cnnbench.report.page.illustrations", lambda found, _: drawn.extend(found) or []
    )

    words = ["--under", "7ms", "--format", "markdown", "-o", "table.md", "--pictures"]
    assert cnnbench_cli("report", run, *words).exit_code == 0

    assert [one.record.spec.mode.text for one in drawn] == ["channels_last"]


@pytest.mark.parametrize("words", [["--pivot", "mode"], ["--scaling"]])
def test_a_budget_goes_with_rows_only(cnnbench_cli, run, words) -> None:
    refused = cnnbench_cli("report", run, "--under", "7ms", *words)

    assert refused.exit_code == 2
    assert "--under, --memory and --top1 go with rows" in refused.stderr


@pytest.mark.parametrize("limit", [["--under", "20"], ["--memory", "much"], ["--top1", "120"]])
def test_a_limit_that_is_none_is_one_line(cnnbench_cli, run, limit) -> None:
    refused = cnnbench_cli("report", run, *limit)

    assert refused.exit_code == 2
    assert len(refused.stderr.splitlines()) == 1


def test_headings_are_names_of_columns_and_the_line_that_cites_stays(cnnbench_cli, run) -> None:
    names = "model,mode,output,gain,memory,vs_eager,peak_memory"
    text = cnnbench_cli("report", run, "--columns", names, "--filter", "output=ok").stdout

    assert text.startswith("run a, inference, batch 8, input 3x32x32, cpu, threads 2\n")
    header = next(line for line in text.splitlines() if line.startswith("model"))
    assert header.split() == ["model", "mode", "output", "vs", "eager", "memory", "peak", "memory"]
    assert "amp=bf16" not in text


def test_a_filter_that_keeps_nothing_names_the_nearest_value(cnnbench_cli, run) -> None:
    for text, nearest in (("mode=bf16", "mode amp=bf16"), ("latency<1ms", "latency 5.00 ms")):
        shown = cnnbench_cli("report", run, "--filter", text).stdout

        assert f"matches the filter {text}; nearest: {nearest}" in " ".join(shown.split())


def test_wide_shows_every_row(cnnbench_cli, run) -> None:
    narrow, wide = (cnnbench_cli("report", run, *words).stdout for words in ([], ["--wide"]))

    assert "vs eager" not in narrow
    assert "vs eager" in wide
    assert max(map(len, wide.splitlines())) > 80


def test_answers_are_json_too(cnnbench_cli, run) -> None:
    words = ["report", run, "--format", "answers"]
    found = json.loads(cnnbench_cli(*words, "--under", "7ms").stdout)

    assert found["within"][0]["best"].split("/")[2] == "channels_last"
    assert [one["mode"] for one in found["modes"]] == ["channels_last"]
    assert [name.split("/")[2] for name in found["modes"][0]["faster"]] == ["channels_last"]
    assert any(one["text"].startswith("Under 7.00 ms: ") for one in found["conclusions"])
    refused = cnnbench_cli(*words, "--sort", "model")
    assert (refused.exit_code, len(refused.stderr.splitlines())) == (2, 1)
