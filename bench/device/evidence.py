"""What a session leaves: ``report.md`` to read, ``verdicts.json``, and all evidence in one archive.

Written after every check, so that a session that is cut off has left what it knew.
"""

from __future__ import annotations

import gzip
import io
import json
import platform
import tarfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from importlib import metadata
from pathlib import Path

from bench.device.check import NOT_SHOWN, PROVED, REFUTED, Check, Verdict

ARCHIVE, REPORT, VERDICTS = "evidence.tar.gz", "report.md", "verdicts.json"
# Checks and their verdicts, in order.
Told = Sequence[tuple[Check, Verdict]]
# Bytes: of the archive, and of one file before it is packed. Of a text that is longer, the end
# counts; any other file is left out and named.
MOST, OF_A_FILE = 15 << 20, 4 << 20
# Of the archive, for the list of what is left out; and how many files that names.
_RESERVED, _NAMED = 10_000, 100
_TEXTS = {".txt", ".json", ".jsonl", ".md", ".csv", ".html"}


def write(folder: Path, work: Path, told: Told, *, pretended: bool) -> None:
    """Write everything anew.

    Args:
        folder: for the three files.
        work: with the evidence of the checks.
        told: checks and their verdicts so far.
        pretended: whether the device was a pretended one.
    """
    text = report(told, pretended=pretended)
    verdicts = json.dumps([asdict(one) for _, one in told], indent=1) + "\n"
    for name, content in ((REPORT, text), (VERDICTS, verdicts)):
        _whole(folder / name, content.encode())
    _whole(folder / ARCHIVE, _packed(work, {REPORT: text, VERDICTS: verdicts}))


def _whole(path: Path, content: bytes) -> None:
    """A file that is never half written."""
    part = path.with_name(f".{path.name}.part")
    part.write_bytes(content)
    part.replace(path)


def report(told: Told, *, pretended: bool) -> str:
    """Claims, verdicts and figures as Markdown."""
    counts = Counter(one.word for _, one in told)
    head = [
        "# What cnnbench says of CUDA" + (", on a pretended device" if pretended else ""),
        "",
        *([_PRETENDED, ""] if pretended else []),
        ", ".join(f"{counts[word]} {word}" for word in (PROVED, REFUTED, NOT_SHOWN))
        + f". {_software()}.",
        "",
        "| claim | verdict | figure | seconds |",
        "|---|---|---|---:|",
    ]
    rows = [
        f"| {_cell(check.claim)} (`{check.name}`) | {one.word} | {_cell(one.figure)} |"
        f" {one.seconds:.1f} |"
        for check, one in told
    ]
    reasons = [f"- `{one.check}`: {_line(one.why)}" for _, one in told if one.why]
    rules = [
        f"- `{check.name}`: {'; '.join(rule.text for rule in check.rules)}" for check, _ in told
    ]
    after = ["", "## Why not", "", *reasons] if reasons else []
    return "\n".join([*head, *rows, *after, "", "## What had to hold", "", *rules, ""])


_PRETENDED = (
    "No GPU was used: this is a dry run of the checks on a device that is computed on the CPU. A"
    " claim that is called proved here is proved of cnnbench's own logic, not of any GPU, and the"
    " figures are those of the pretended device."
)


def _software() -> str:
    known = []
    for name in ("torch", "triton"):
        try:
            known.append(f"{name} {metadata.version(name)}")
        except metadata.PackageNotFoundError:
            continue
    return ", ".join([f"Python {platform.python_version()}", *known])


def _line(text: str) -> str:
    return " ".join(text.split())


def _cell(text: str) -> str:
    return _line(text).replace("|", "\\|")


def _packed(work: Path, written: dict[str, str]) -> bytes:
    """The archive; what is left out because of its size is named in it."""
    content, left_out = io.BytesIO(), []
    with (
        gzip.GzipFile(fileobj=content, mode="wb", compresslevel=6, mtime=0) as squeezed,
        tarfile.open(fileobj=squeezed, mode="w") as archive,
    ):
        for name, text in written.items():
            _add(archive, name, text.encode())
        for path in sorted(work.rglob("*"), key=_worth):
            if path.is_symlink() or not path.is_file():
                continue
            size = path.stat().st_size
            squeezed.flush()
            # It may be of a kind that becomes no smaller.
            fits = content.tell() + min(size, OF_A_FILE) + _RESERVED < MOST
            if fits and (size <= OF_A_FILE or path.suffix in _TEXTS):
                _add(archive, path.relative_to(work).as_posix(), _end_of(path))
            else:
                left_out.append(f"{path.relative_to(work).as_posix()} ({size} bytes)")
        if left_out:
            said = [*left_out[:_NAMED], f"{len(left_out)} files in all", ""]
            _add(archive, "left_out.txt", "\n".join(said).encode())
    return content.getvalue()


def _worth(path: Path) -> tuple[bool, int, str]:
    """Texts first, and of what is alike the smaller."""
    return path.suffix not in _TEXTS, path.lstat().st_size, str(path)


def _end_of(path: Path) -> bytes:
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - OF_A_FILE))
        return file.read(OF_A_FILE)


def _add(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    entry = tarfile.TarInfo(name)
    entry.size = len(content)
    archive.addfile(entry, io.BytesIO(content))
