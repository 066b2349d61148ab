"""Second names: what users may write in place of an option's or a format's own name.

They are in no help text. Imports nothing, because the command line knows them before it knows which
command is called.
"""

from __future__ import annotations

# Option -> its own name, without dashes. A command that takes one value calls it by the singular
# itself; there the plural is the second name.
_OPTIONS = {
    "model": "models",
    "mode": "modes",
    "batches": "batch",
    "batch-size": "batch",
    "batch-sizes": "batch",
    "image-size": "size",
    "img-size": "size",
    "sizes": "size",
    "phases": "phase",
    "column": "columns",
}

# Format -> its own name. With a dot in front, these and the own names are suffixes of files.
_FORMATS = {"md": "markdown", "tex": "latex", "txt": "table", "text": "table", "htm": "html"}


def option(name: str) -> str:
    """The name that an option is known by, declared as well as written."""
    return _OPTIONS.get(name, name)


def kind(name: str) -> str:
    """The name of a format, as its table has it."""
    return _FORMATS.get(name, name)
