"""Pictures of the HTML page for the documentation: ``python -m bench.page_pictures``.

Needs Chromium and ``pip install playwright``. The pages are of kept runs.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
PICTURES = ROOT / "docs" / "pictures"
ALL, TWO = ("all-cpu",), ("modes-cpu", "quick-cpu")


@dataclass(frozen=True)
class Shot:
    """A picture: its name, the runs that the page is of, what it shows and in which colours."""

    name: str
    runs: tuple[str, ...]
    part: str
    scheme: str = "light"


SHOTS = (
    Shot("accuracy", ALL, ""),
    Shot("strips", ALL, "#strips"),
    Shot("speedups", TWO, "#speedups"),
    Shot("size", TWO, "#size"),
    Shot("distribution", TWO, "#distribution", "dark"),
)


def take(browser: Any, shot: Shot, folder: Path) -> None:
    """Take one picture; without a part, of what is seen first."""
    out = folder / f"{shot.name}.html"
    runs = [str(ROOT / "results" / name) for name in shot.runs]
    words = [sys.executable, "-m", "cnnbench", "report", *runs, "--format", "html", "-o", str(out)]
    subprocess.run(words, check=True)
    view = browser.new_page(viewport={"width": 1000, "height": 920}, color_scheme=shot.scheme)
    view.goto(out.as_uri())
    view.evaluate("document.getElementById('evidence').open = true")
    view.evaluate("scrollTo(0, 0)")
    target = view.locator(shot.part) if shot.part else view
    target.screenshot(path=PICTURES / f"{shot.name}.png")
    view.close()


def main() -> None:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver, tempfile.TemporaryDirectory() as folder:
        path = shutil.which("chromium") or shutil.which("google-chrome")
        browser = driver.chromium.launch(executable_path=path, args=["--no-sandbox"])
        for shot in SHOTS:
            take(browser, shot, Path(folder))
        browser.close()


if __name__ == "__main__":
    main()
