"""``python -m cnnbench.convs`` writes ``cnnbench/convs.json`` anew."""

from __future__ import annotations

from pathlib import Path

from cnnbench.convs.export import text

if __name__ == "__main__":
    path = Path(__file__).resolve().parents[1] / "convs.json"
    path.write_text(text(), encoding="utf-8")
