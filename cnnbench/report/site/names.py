"""File names of a site's pages: the same in every build, so that links to them last."""

from __future__ import annotations

import hashlib
import re

INDEX = "index.html"

# A name of a model that can be part of a file's name as it stands, whatever the file system.
_PLAIN = re.compile(r"[a-z0-9_]{1,60}")
# What a page that an earlier build has left may be called.
_OURS = re.compile(r"(index|(environment|comparison|network)-[a-z0-9_-]+)\.html")


def environment(fingerprint: str) -> str:
    """The page of an environment."""
    return f"environment-{fingerprint}.html"


def comparison(fingerprint: str, other: str) -> str:
    """The page of two environments."""
    return f"comparison-{fingerprint}-{other}.html"


def network(model: str) -> str:
    """The page of a network.

    Args:
        model: as ids of specs have it: anything, such as ``my.nets:Tiny?width=2``.
    """
    if _PLAIN.fullmatch(model):
        return f"network-{model}.html"
    # No plain name has a hyphen, so that no other network gets this one.
    readable = re.sub(r"[^a-z0-9_]+", "-", model.lower()).strip("-")[:60]
    digest = hashlib.sha256(model.encode("utf8", "replace")).hexdigest()[:8]
    return f"network-{readable}-{digest}.html"


def is_page(name: str) -> bool:
    """Whether a file is called as pages are."""
    return _OURS.fullmatch(name) is not None
