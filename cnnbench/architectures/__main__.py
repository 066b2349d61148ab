"""``python -m cnnbench.architectures``: write the catalogue beside the package's code."""

from __future__ import annotations

from pathlib import Path

from cnnbench.architectures import export

if __name__ == "__main__":
    target = Path(__file__).resolve().parent.parent / "catalogue.json"
    target.write_text(export.text(), encoding="utf-8")
