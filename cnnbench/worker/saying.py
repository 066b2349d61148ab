"""An error of somebody else's code in one line."""

from __future__ import annotations

from cnnbench import analysis
from cnnbench.errors import CnnbenchError

# What TorchScript's interpreter says first, whatever has happened; the reason comes last.
_SCRIPT = "The following operation failed in the TorchScript interpreter"


def _first_words(error: BaseException) -> str:
    """The line of an error that says what happened."""
    try:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    except Exception as own:  # noqa: BLE001 - it is the user's class
        return f"its text cannot be read ({type(own).__name__})"
    if not lines:
        return ""
    return lines[-1] if lines[0].startswith(_SCRIPT) else lines[0]


def said(error: BaseException) -> str:
    """An error in one line, with its class if it is not ours."""
    first = _first_words(error)
    own = isinstance(error, CnnbenchError)
    message = first if own else f"{type(error).__name__}: {first}".rstrip(": ")
    if not own and (known := analysis.remedy(first)) is not None:
        message = f"{known} ({message})"
    return message
