"""A site in a real browser: from files and from a sub-path of a server, silent, links that lead.

Runs where Chromium is installed and the playwright package drives it; nothing is downloaded.
"""

from __future__ import annotations

import functools
import http.server
import threading
from pathlib import Path
from urllib.parse import urljoin

import pytest

from tests.report.opened import Opened
from tests.report.site import HERE, built, two_machines


class _Silent(http.server.SimpleHTTPRequestHandler):
    """A web server that logs nothing."""

    def log_message(self, *words) -> None:
        del words


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    """What a web server serves: the site is in a sub-path, as on GitHub Pages."""
    path = tmp_path_factory.mktemp("served")
    built(path / "some" / "project", two_machines())
    return path


@pytest.fixture(scope="module", params=["file", "http"])
def address(request, root: Path):
    """The address of the folder of the site."""
    if request.param == "file":
        yield (root / "some" / "project").as_uri() + "/"
        return
    handler = functools.partial(_Silent, directory=str(root))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/some/project/"
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def context(browser):
    one = browser.new_context(viewport={"width": 1200, "height": 800})
    yield one
    one.close()


def test_every_page_opens_silently_with_its_style_and_script_and_asks_for_nothing_else(
    context, address: str, root: Path
) -> None:
    for path in sorted((root / "some" / "project").glob("*.html")):
        page = Opened(context, address + path.name)

        assert page.said == [], path.name
        asked = {url for url in page.requests if not url.startswith(("data:", "blob:"))}
        assert asked == {address + name for name in (path.name, "page.css", "page.js")}
        assert page.view.evaluate("document.documentElement.classList.contains('scripted')")
        assert page.view.evaluate("document.styleSheets.length") == 2
        assert page.view.evaluate("document.documentElement.scrollWidth") <= 1200, path.name
        page.view.close()


def test_a_reader_searches_a_network_follows_it_to_a_machine_and_comes_back(
    context, address: str
) -> None:
    page = Opened(context, f"{address}index.html")
    page.view.locator("#filter").fill("net50")
    page.view.locator("#filter").press("Enter")

    assert page.column(1) == ["resnet50"]
    assert page.view.url.endswith("index.html#find=net50")
    page.view.locator("#all a:visible").click()
    page.view.wait_for_url(urljoin(address, "network-resnet50.html"))
    page.view.locator(".trail a", has_text=HERE.fingerprint).click()
    page.view.wait_for_url(urljoin(address, f"environment-{HERE.fingerprint}.html"))
    page.view.locator(".trail a").first.click()
    page.view.wait_for_url(urljoin(address, "index.html"))
    assert page.said == []
    page.view.close()


def test_a_link_opens_a_page_with_its_search_and_its_limits(context, address: str) -> None:
    found = Opened(context, f"{address}index.html#find=vgg")
    budget = Opened(context, f"{address}environment-{HERE.fingerprint}.html#latency=16+ms")

    assert found.column(1) == ["vgg11"]
    assert budget.view.locator("#limit-t").input_value() == "16 ms"
    # Of 7.5, 22.5 and 37.5 ms in the faster mode, one is within the limit.
    assert set(budget.column(1)) == {"resnet18"}
    assert budget.cards()[0].startswith("resnet18")
    assert [*found.said, *budget.said] == []
    found.view.close()
    budget.view.close()


def test_sections_have_addresses_too(context, address: str) -> None:
    page = Opened(context, f"{address}network-resnet18.html#method")

    assert page.view.locator("#method").is_visible()
    assert page.said == []
    page.view.close()
