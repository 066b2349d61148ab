"""What a network raised, as the fields of a ``record.Failure``."""

from __future__ import annotations

import traceback

from cnnbench import analysis
from cnnbench.errors import CnnbenchError
from cnnbench.worker.devices import is_out_of_memory

_MESSAGE_LENGTH = 500
_DETAILS_LENGTH = 4000


def described(error: BaseException) -> dict[str, str]:
    """Kind, message of one line, and the end of the traceback."""
    text = str(error).strip().splitlines()
    # TorchScript says where it was, line by line, and last what was wrong.
    script = bool(text) and text[0].endswith("failed in the TorchScript interpreter.")
    first = text[-1 if script else 0] if text else ""
    own = isinstance(error, CnnbenchError)
    message = first if own else f"{type(error).__name__}: {first}".rstrip(": ")
    if not own and (known := analysis.remedy(first)) is not None:
        message = f"{known} ({message})"
    return {
        "kind": "out_of_memory" if is_out_of_memory(error) else "unsupported" if own else "error",
        "message": message[:_MESSAGE_LENGTH],
        "details": "".join(traceback.format_exception(error))[-_DETAILS_LENGTH:],
    }
