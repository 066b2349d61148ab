"""A page that a real browser has opened, with everything that it said and asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cnnbench.report import page
from cnnbench.report.page.measurements import measurements
from cnnbench.report.selection import Selection

if TYPE_CHECKING:
    from pathlib import Path

    from cnnbench.report.entry import Entry

MODES = ("eager", "channels_last", "compile", "amp=bf16", "bf16", "compile+channels_last")
EVIL = '</script><img src="http://example.invalid/x"><script>alert(1)</script>'
KNOWN = ("resnet18", "resnet50", "mobilenet_v2", "squeezenet1_1", "densenet121", "vgg11")


def written(path: Path, found: list[Entry]) -> str:
    path.write_text(page.render(found, measurements(found, Selection()), (EVIL,)), "utf8")
    return path.as_uri()


class Opened:
    """A page with everything that it said and asked for."""

    def __init__(self, context: Any, address: str) -> None:
        self.view = context.new_page()
        # A shared machine may leave a browser a small part of one core.
        self.view.set_default_timeout(180_000)
        self.requests: list[str] = []
        self.said: list[str] = []
        self.view.on("request", lambda one: self.requests.append(one.url))
        self.view.on("console", lambda one: self.said.append(f"{one.type}: {one.text}"))
        self.view.on("pageerror", lambda one: self.said.append(f"error: {one}"))
        self.view.on("dialog", lambda one: self.said.append(f"error: dialog {one.message}"))
        self.view.goto(address)

    def column(self, index: int) -> list[str]:
        # Not by what is laid out: on a phone, rows far away are not yet.
        rows = self.view.locator("#all tbody tr:not([hidden])")
        return rows.locator(f"td:nth-child({index})").all_text_contents()

    def texts(self, what: str) -> list[str]:
        return [text.strip() for text in self.view.locator(what).all_text_contents()]

    def cards(self) -> list[str]:
        return self.texts(".card .who")

    def limit(self, latency: str = "", memory: str = "", mode: str = "") -> None:
        self.view.locator("#limit-t").fill(latency)
        self.view.locator("#limit-m").fill(memory)
        self.view.locator("#limit-o").select_option(mode)
