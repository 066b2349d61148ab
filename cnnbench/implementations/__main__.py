"""``python -m cnnbench.implementations`` rewrites ``cnnbench/conv/implementations.json``."""

from __future__ import annotations

from pathlib import Path

from cnnbench.implementations.export import text

if __name__ == "__main__":
    path = Path(__file__).resolve().parents[1] / "conv" / "implementations.json"
    path.write_text(text(), encoding="utf-8")
