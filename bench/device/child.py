"""One check in this process: ``python -m bench.device.child FUNCTION FOLDER [--pretend]``.

FUNCTION is ``MODULE:NAME``, where a module without a dot is one beside this. Writes ``facts.json``
into the folder: the facts, or why there are none.
"""

from __future__ import annotations

import importlib
import json
import sys
import traceback
from pathlib import Path

from bench.device.check import NotShown
from bench.device.place import Place

FACTS = "facts.json"


def main(function: str, folder: Path, *, pretended: bool) -> None:
    module, _, name = function.partition(":")
    try:
        collect = getattr(
            importlib.import_module(module if "." in module else f"bench.device.{module}"), name
        )
        found = {"facts": collect(Place(folder, pretended))}
    except NotShown as reason:
        found = {"not_shown": str(reason)}
    except Exception as error:  # noqa: BLE001 - it is a result, for the report
        traceback.print_exc()
        found = {"broken": f"{type(error).__name__}: {error}"}
    whole = folder / f"{FACTS}.part"
    whole.write_text(json.dumps(found, indent=1, default=str) + "\n", encoding="utf8")
    whole.rename(folder / FACTS)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), pretended="--pretend" in sys.argv[3:])
