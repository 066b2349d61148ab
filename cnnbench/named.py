"""What users name on a command line or in an id that is code: losses, factories, functions."""

from __future__ import annotations

import re

from cnnbench.errors import UnknownName, UsageError

# Losses with a name; what each is stands in architectures/losses.py under the same name. The first
# is the default.
LOSSES = ("auto", "cross_entropy", "mse", "l1", "bce", "reconstruction")
AUTO = LOSSES[0]

_CODE = re.compile(r"\w+(\.\w+)*:\w+(\.\w+)*")
# Names with a colon that are of a library, a layer, a pipeline, a family or an object in memory.
_OTHERS = ("timm:", "conv:", "input:", "object:", "activation:")


def is_code(text: str) -> bool:
    """Whether it is ``package.module:attribute`` of the user's, which is imported to be used."""
    return _CODE.fullmatch(text) is not None and not text.startswith(_OTHERS)


def function(text: str) -> str:
    """Read a function of the user's; whether there is one is not looked at.

    Raises:
        UsageError: another form.
    """
    if not is_code(text):
        raise UsageError(f"'{text}' is not of the form package.module:function")
    return text


def loss(text: str) -> str:
    """Read a loss: one of the names, or a function of the user's.

    Raises:
        UnknownName: it is neither.
    """
    if text in LOSSES or is_code(text):
        return text
    raise UnknownName("loss", text, LOSSES, "(or give package.module:function)")
