"""Several options that hand a command one value."""

from __future__ import annotations

from functools import wraps
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    Command = Callable[..., Any]
    Decorator = Callable[[Command], Command]


def bundle(
    name: str, options: Mapping[str, Decorator], make: Callable[[dict[str, Any]], Any]
) -> Decorator:
    """A decorator that attaches options and hands the command one value made of theirs."""

    def attach(command: Command) -> Command:
        @wraps(command)
        def call(*args: Any, **given: Any) -> Any:
            own = {key: given.pop(key) for key in options}
            return command(*args, **given, **{name: make(own)})

        # The last decorator stands first in the help.
        found: Command = call
        for option in reversed([*options.values()]):
            found = option(found)
        return found

    return attach
