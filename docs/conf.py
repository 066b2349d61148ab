"""How Sphinx makes a site of these pages; ``tox -e docs`` builds it.

The pages are plain Markdown first, so that GitHub shows them too. Nothing here imports torch: the
module of what ``cnnbench.cost`` returns is read with torch replaced by a stand-in.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from cnnbench.version import VERSION

if TYPE_CHECKING:
    from sphinx.application import Sphinx

project = "cnnbench"
author = "The cnnbench authors"
release = VERSION

extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
html_theme = "furo"
html_title = f"cnnbench {VERSION}"

# Anchors of headings as GitHub makes them, as deep as pages go.
myst_heading_anchors = 3
# A test executes the notebook; the site shows its kept output, so that no build needs torch.
nb_execution_mode = "off"

autodoc_mock_imports = ["torch", "torchvision", "fvcore"]
autodoc_member_order = "bysource"
# Names that only type checkers import cannot be resolved, so signatures stay as they are written.
autodoc_typehints = "signature"
napoleon_numpy_docstring = False
# Attributes in a list below their class; each of them as an entry of its own would be there twice.
napoleon_use_ivar = True


def _offer_other_files(_: Sphinx, page: str, source: list[str]) -> None:
    """Make links to Markdown outside of docs/ downloads, because those files are no pages here."""
    up = re.escape("../" * (page.count("/") + 1))
    source[0] = re.sub(rf"\]\(({up}[^)#]+\.md)(#[^)]*)?\)", r"](<path:\1>)", source[0])


def _keep_names_together(*event: Any) -> None:
    """Let one line describe several attributes: a field's name ends at its last blank otherwise."""
    lines: list[str] = event[-1]
    lines[:] = [
        re.sub(r"^:ivar [^:]+:", lambda field: field[0].replace(", ", ",\u200b"), line)
        for line in lines
    ]


def setup(app: Sphinx) -> None:
    """Called by Sphinx."""
    # After napoleon has made fields of the sections.
    app.connect("autodoc-process-docstring", _keep_names_together, priority=900)
    app.connect("source-read", _offer_other_files)
