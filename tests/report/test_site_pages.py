"""The pages of a site: which there are, what they say, and that nothing from records is obeyed."""

from __future__ import annotations

import re
from dataclasses import replace
from html import unescape
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from cnnbench.environment import Environment
from cnnbench.errors import StoreError
from cnnbench.report import site
from cnnbench.report.site import beside, folder, names, network
from cnnbench.report.site.places import places
from tests import made
from tests.report.conftest import HOSTILE
from tests.report.site import HERE, THERE, built, networks, one, run, two_machines
from tests.report.test_page import Reader


@pytest.fixture(scope="module")
def pages() -> dict[str, str]:
    return dict(site.pages(two_machines(), "our networks"))


def table(text: str) -> list[str]:
    """The rows of the large table, without tags."""
    whole = text.partition('id="all"')[2].partition("</table>")[0]
    rows = re.split(r"<tr[^>]*>", whole)[1:]
    return [" ".join(unescape(re.sub(r"<[^>]+>", " ", row)).split()) for row in rows]


def test_there_is_a_page_per_environment_network_and_pair_and_two_shared_files(pages) -> None:
    here, there = HERE.fingerprint, THERE.fingerprint

    assert set(pages) == {
        "index.html", "page.css", "page.js",
        f"environment-{here}.html", f"environment-{there}.html",
        "network-resnet18.html", "network-resnet50.html", "network-vgg11.html",
        f"comparison-{min(here, there)}-{max(here, there)}.html",
    }  # fmt: skip


def test_every_page_is_well_formed_loads_only_its_neighbours_and_names_no_element_twice(
    pages,
) -> None:
    for name, text in pages.items():
        if not name.endswith(".html"):
            continue
        found = Reader(text)
        ids = [attrs["id"] for _, attrs in found.tags if "id" in attrs]
        links = [attrs["href"] for tag, attrs in found.tags if tag in {"a", "link"}]
        loaded = [attrs["src"] for _, attrs in found.tags if "src" in attrs]
        assert found.open == []
        assert len(ids) == len(set(ids))
        assert loaded == ["page.js"]
        for link in links:
            parts = urlsplit(link)
            assert parts.scheme in {"", "data"}, link
            assert parts.scheme or not parts.path or unquote(parts.path) in pages, link
            assert not parts.path.startswith("/")
            assert parts.path or not parts.fragment or parts.fragment in ids, link


def test_the_index_names_environments_with_dates_records_and_usability(pages) -> None:
    text = pages["index.html"]

    found = Reader(text)
    assert "our networks" in found.texts["h1"]
    assert {"72", "1 March 2026 to 12 March 2026", "12 usable", "usable"} <= set(found.cells)
    assert "78 records of 3 networks from 13 runs in 2 environments." in text
    assert [row.split()[0] for row in table(text)[1:]] == ["resnet18", "resnet50", "vgg11"]


def test_the_page_of_an_environment_has_a_front_through_the_newest_records(pages) -> None:
    text = pages[f"environment-{HERE.fingerprint}.html"]

    assert 'id="plot-accuracy-0-0"' in text
    assert 'id="limit-t"' in text
    # Three networks in two modes, whichever run they are from, each with its own page.
    assert len([row for row in table(text) if "resnet18" in row]) == 2
    assert 'href="network-resnet18.html"' in text
    assert "day-12" in text
    assert "15.0 ms" in text


def test_the_page_of_a_network_has_its_modes_everywhere_and_its_steps(pages) -> None:
    text = pages["network-resnet18.html"]
    rows = table(text)

    parts = [row for row in rows if row.startswith(("A Processor", "Another"))]
    assert [row.partition(",")[0] for row in parts] == [
        "A Processor", "Another <script>alert(1)</script>",
    ]  # fmt: skip
    assert [row.split()[0] for row in rows[1:]].count("channels_last") == 2
    assert "step of +50.0 %" in unescape(text)
    assert text.count("day-7 (2026-03-07)") >= 1
    assert 'id="plot-history-0"' in text
    assert 'id="plot-history-2"' not in text


def test_a_network_measured_once_has_no_history_and_says_why() -> None:
    text = dict(site.pages([run("only", networks())], "t"))["network-resnet18.html"]

    assert 'id="history"' not in text
    assert "History: needs two runs of one environment." in text


def test_two_environments_stand_side_by_side_and_no_figure_is_made_of_several_rows(pages) -> None:
    (name,) = [name for name in pages if name.startswith("comparison-")]
    rows = table(pages[name])

    assert len(rows) == 7
    first, other = (HERE, THERE) if HERE.fingerprint < THERE.fingerprint else (THERE, HERE)
    assert rows[0].index(first.fingerprint) < rows[0].index(other.fingerprint)
    # 15 ms here since the seventh day, 2.5 ms there.
    expected = 6 if first is HERE else 1 / 6
    (pair,) = beside.comparisons(places(two_machines()))
    ratios = [one.ratio for one in pair.pairs]
    assert [ratio.point for ratio in ratios] == pytest.approx([expected] * 6)
    assert all(ratio.low < ratio.point < ratio.high for ratio in ratios)
    assert "mean" not in pages[name].partition('id="method"')[0]


def test_a_wrong_output_and_a_failure_have_no_ratio() -> None:
    wrong = made.Check("wrong", 0.5, 0.5, 0.25, "relative error 0.5")
    here = run("here", [one("a", "eager", 10), one("b", "eager", 10, check=wrong)])
    there = run("there", [one("a", "eager", 5), one("b", "eager", 5)], THERE)
    failed = run("failed", [made.failed(one("a", "eager", 1).id)], THERE, day=2)

    (pair,) = beside.comparisons(places([here, there]))
    (other,) = beside.comparisons(places([here, there, failed]))

    assert [two.ratio is None for two in pair.pairs] == [False, True]
    assert [two.ratio is None for two in other.pairs] == [True, True]


def test_rows_are_paired_by_device_and_threads_or_where_each_has_one_only() -> None:
    here = run("here", [one("a", "eager", 10, 1), one("a", "eager", 8, 2), one("b", "eager", 9, 1)])
    there = run("there", [one("a", "eager", 5, 2), one("b", "eager", 5, 8)], THERE)

    (found,) = beside.comparisons(places([here, there]))

    paired = {tuple(sorted((two.one.record.id, two.other.record.id))) for two in found.pairs}
    assert paired == {
        (one("a", "eager", 1, 2).id,) * 2,
        (one("b", "eager", 1, 1).id, one("b", "eager", 1, 8).id),
    }


def test_the_newest_record_of_a_spec_counts_and_its_gain_is_that_of_its_own_run() -> None:
    old = run("old", networks(), day=1)
    new = run("new", networks(3.0)[:1], day=2)

    (where,) = places([new, old])

    first, second = where.found[:2]
    assert (first.latency.point, second.latency.point) == pytest.approx((0.030, 0.005), rel=0.01)
    assert second.speedup.point == pytest.approx(2.0)
    assert {entry.run for entry in where.found} == {"old and 1 before"} | {first.run}
    assert where.given == {"old": 5, "new": 1}


def test_file_names_are_those_of_networks_or_carry_a_checksum() -> None:
    known = [
        "resnet18", "ResNet18", "my.nets:Tiny?width=2", "../../etc/passwd", "a" * 300, "%3Cb%3E",
        "\u00e9", "con/aux", "a-b", "a_b", "", "index",
    ]  # fmt: skip
    files = [names.network(model) for model in known]

    assert files[0] == "network-resnet18.html"
    assert len({name.lower() for name in files}) == len(files)
    assert all(names.is_page(name) and len(name) < 100 for name in files)
    assert names.network("my.nets:Tiny") == names.network("my.nets:Tiny")


def test_hostile_records_are_shown_and_not_obeyed() -> None:
    evil = "%3C%2Fscript%3E%3Cscript%3Ealert%281%29%3C%2Fscript%3E"
    environment = Environment({**HERE.hard, "cpu": HOSTILE, "torch": {"version": HOSTILE}})
    records = [replace(record, notes=(HOSTILE,)) for record in networks(names=(evil, "vgg11"))]
    runs = [run(HOSTILE, records, environment), run("other", records, HERE)]

    made_pages = dict(site.pages(runs, HOSTILE))

    for name, text in made_pages.items():
        assert "\u202e" not in text, name
        if name.endswith(".html"):
            found = Reader(text)
            assert [tag for tag, _ in found.tags].count("script") == 1
            assert not [a for _, attrs in found.tags for a in attrs if a.startswith("on")]
    assert f'href="{names.network(evil)}"' in made_pages["index.html"]


def test_many_environments_have_pages_but_not_every_pair() -> None:
    def on(number: int) -> Environment:
        return Environment({**HERE.hard, "memory_gib": number})

    runs = [run(f"r{n}", networks(names=("vgg11",)), on(n), day=1 + n) for n in range(12)]

    found = dict(site.pages(runs, "t"))

    assert sum(name.startswith("environment-") for name in found) == 12
    assert sum(name.startswith("comparison-") for name in found) == 60
    assert "6 more pairs of environments" in found["index.html"]


def test_the_same_runs_make_the_same_site_in_any_order(pages) -> None:
    assert dict(site.pages(two_machines()[::-1], "our networks")) == pages


def test_a_site_is_replaced_whole_and_files_of_others_stay(tmp_path: Path) -> None:
    built(tmp_path / "site", two_machines())
    (tmp_path / "site" / "CNAME").write_text("example.org")

    built(tmp_path / "site", [run("only", networks(names=("vgg11",)))])

    left = {path.name for path in (tmp_path / "site").iterdir()}
    assert left == {
        "CNAME", "cnnbench-site.json", "index.html", "page.css", "page.js", "network-vgg11.html",
        f"environment-{HERE.fingerprint}.html",
    }  # fmt: skip


def test_a_killed_build_leaves_a_site_that_the_next_one_replaces(tmp_path: Path) -> None:
    def killed():
        yield "network-old.html", "<p>"
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        folder.write(tmp_path / "site", killed())

    built(tmp_path / "site", [run("only", networks())])
    assert not (tmp_path / "site" / "network-old.html").exists()


def test_a_folder_of_others_and_a_link_are_refused(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "index.html").write_text("mine")
    secret = tmp_path / "secret"
    secret.write_text("secret")
    site_of_ours = built(tmp_path / "site", [run("only", networks())])
    (site_of_ours / "index.html").unlink()
    (site_of_ours / "index.html").symlink_to(secret)

    with pytest.raises(StoreError, match="holds files and is no site of cnnbench"):
        built(tmp_path / "mine", two_machines())
    with pytest.raises(StoreError, match="nothing is written through"):
        built(site_of_ours, two_machines())

    assert (tmp_path / "mine" / "index.html").read_text() == "mine"
    assert secret.read_text() == "secret"


def test_no_series_mixes_environments() -> None:
    for one_network in network.networks(places(two_machines())):
        for where, series in one_network.told:
            assert {point.environment for point in series.points} == {where.fingerprint}
