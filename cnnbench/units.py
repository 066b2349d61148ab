"""Seconds, bytes and counts as text for people. The only place that rounds.

Three significant digits, because no timing on a real machine carries more.
"""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote_to_bytes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

_SECONDS = ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs"), (1e-9, "ns"))
_BYTES = ((1 << 40, "TiB"), (1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB"), (1, "B"))
_COUNTS = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"), (1.0, ""))


def significant(value: float, digits: int = 3) -> str:
    """A number with a given number of significant digits, never in scientific notation.

    >>> significant(1234.5), significant(0.012345), significant(0)
    ('1234', '0.0123', '0')
    """
    if 0.001 <= value < 10 ** (digits - 1):
        # In this range "#g" gives the same in one step, except for a trailing point without
        # decimals.
        return f"{value:#.{digits}g}".removesuffix(".")
    if value == 0 or not math.isfinite(value):
        return "0" if value == 0 else str(value)
    # The exponent after rounding: 9.996 has one digit more than it seems to have.
    exponent = int(f"{value:.{digits - 1}e}".partition("e")[2])
    decimals = max(0, digits - 1 - exponent)
    return f"{value:.{decimals}f}"


def _scaled(value: float, scales: tuple[tuple[float, str], ...], space: str) -> str:
    if value == 0:
        return f"0{space}{scales[-1][1]}".rstrip()
    # 0.9995 so that 999.6 us is written as 1.00 ms and not as 1000 us.
    factor, unit = next(
        ((factor, unit) for factor, unit in scales if abs(value) >= 0.9995 * factor), scales[-1]
    )
    return f"{significant(value / factor)}{space}{unit}".rstrip()


def seconds(value: float) -> str:
    """A duration: ``12.3 ms``."""
    return _scaled(value, _SECONDS, " ")


def size(value: float) -> str:
    """A number of bytes in powers of two: ``97.5 MiB``."""
    return _scaled(value, _BYTES, " ")


def megabytes(value: float) -> str:
    """A number of bytes in 10^6 with two decimals, as torchinfo prints sizes: ``602.25``."""
    return f"{value / 1e6:.2f}"


def count(value: float) -> str:
    """A count with a decimal prefix: ``4.09 G``; small whole numbers stay whole.

    >>> count(12), count(25557032), count(4089184256)
    ('12', '25.6 M', '4.09 G')
    """
    if abs(value) < 1000 and float(value).is_integer():
        return str(int(value))
    return _scaled(value, _COUNTS, " ")


def rate(value: float) -> str:
    """Something per second: ``123 /s``."""
    return f"{significant(value)} /s" if abs(value) < 10_000 else f"{count(value)}/s"


def percent(fraction: float, *, sign: bool = False) -> str:
    """A fraction as a percentage: ``4.2 %``; with ``sign`` also ``+4.2 %``."""
    value = 100 * fraction
    digits = 1 if abs(value) < 100 else 0
    # Plus zero, because a value that rounds to zero has no sign.
    return f"{round(value, digits) + 0.0:{'+' if sign else ''}.{digits}f} %"


def share(fraction: float) -> str:
    """A share as a sentence says it: one that is there is not said to be zero.

    >>> share(0.25), share(0.0002), share(0.0)
    ('25.0 %', 'under 0.1 %', '0.0 %')
    """
    return "under 0.1 %" if 0 < fraction < 0.0005 else percent(fraction)


def margin(share: float) -> str:
    """Half an interval as a share of its point, rounded up: ``±6 %``.

    >>> margin(0.055), margin(0.0001), margin(0.0)
    ('±6 %', '±1 %', '±0 %')
    """
    return f"±{math.ceil(100 * share)} %"


def ratio(value: float) -> str:
    """How many times: ``1.43x``."""
    return f"{significant(value)}x"


def scientific(value: float) -> str:
    """A relative error: ``3.1e-07``."""
    return "0" if value == 0 else f"{value:.1e}"


# How much larger or smaller the end of an interval may be than its point, as a factor, to be worth
# printing; and to be worth a word. Few rounds may say "0.3 to 80 ms", which tells nobody anything.
_WORTH, _SAID = 2.0, 100.0
# So few rounds that a wide interval comes from their number, more than from what was measured.
_FEW = 3


def vague(point: float, low: float, high: float, rounds: int, of: str = "rounds") -> str:
    """What to print in place of an interval that is too wide to be read; empty if it is not.

    >>> vague(1.0, 0.9, 1.2, 3), vague(1.0, 1 / 8, 8.0, 3), vague(1.0, 1e-9, 1e9, 2)
    ('', '3 rounds: x/÷ 8.00', '2 rounds: too few')
    """
    ends = (low, point, high)
    apart = max(point / low, high / point) if min(ends) > 0 else math.inf
    if low == high or apart <= _WORTH:
        return ""
    if apart <= _SAID:
        return f"{rounds} {of}: x/÷ {significant(apart)}"
    return f"{rounds} {of}: {'too few' if rounds <= _FEW else 'too far apart'}"


def interval(
    write: Callable[[float], str],
    point: float,
    low: float,
    high: float,
    rounds: int,
    of: str = "rounds",
) -> str:
    """The ends of an interval as ``write`` writes them, or why they are not worth reading."""
    return vague(point, low, high, rounds, of) or f"{write(low)}, {write(high)}"


def duration(value: float) -> str:
    """A time that somebody waits, no finer than that needs.

    >>> duration(65.4), duration(951), duration(7500), duration(7200)
    ('65 s', '16 min', '2 h 5 min', '2 h')
    """
    whole = round(value)
    if whole < 90:
        return f"{whole} s"
    minutes = round(whole / 60)
    if minutes < 90:
        return f"{minutes} min"
    hours, rest = divmod(minutes, 60)
    return f"{hours} h {rest} min" if rest else f"{hours} h"


_SPANS = ((3600.0, "h"), (60.0, "min"), (1.0, "s"))


def span(value: float) -> str:
    """A time that is seconds for some and hours for others, with three digits like any figure.

    >>> span(7.25), span(89.0), span(5000), span(54000)
    ('7.25 s', '89.0 s', '83.3 min', '15.0 h')
    """
    factor, unit = next((one for one in _SPANS if value >= 1.5 * one[0]), _SPANS[-1])
    return f"{significant(value / factor)} {unit}"


def number(count: float, noun: str, plural: str = "") -> str:
    """A counted noun: ``1 spec``, ``2 specs``, ``1.5 cores``."""
    shown = f"{count:g}" if isinstance(count, float) else str(count)
    return f"{shown} {noun if count == 1 else plural or f'{noun}s'}"


def ranges(numbers: Iterable[int]) -> str:
    """Whole numbers as the kernel lists cores.

    >>> ranges([0, 1, 2, 5, 7, 8])
    '0-2,5,7-8'
    """
    runs: list[list[int]] = []
    for one in sorted({*numbers}):
        if runs and one == runs[-1][-1] + 1:
            runs[-1].append(one)
        else:
            runs.append([one])
    return ",".join(f"{run[0]}-{run[-1]}" if len(run) > 1 else str(run[0]) for run in runs)


def shape(value: tuple[int, ...]) -> str:
    """``3x224x224``."""
    return "x".join(map(str, value))


def readable(quoted: str) -> str:
    """A name of an id as it was written: quoted characters are themselves where they are printable.

    Control characters, and those that change the direction of what follows, stay quoted.
    """
    return _QUOTED.sub(_unquoted, quoted)


_QUOTED = re.compile("(?:%[0-9A-F]{2})+")


def _unquoted(found: re.Match[str]) -> str:
    try:
        text = unquote_to_bytes(found[0]).decode()
    except UnicodeDecodeError:
        return found[0]
    return "".join(one if one.isprintable() else quote(one, safe="") for one in text)
