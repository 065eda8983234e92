"""Amounts as text: durations, rates, sizes. Only this module formats them."""

from __future__ import annotations


def duration(seconds: float) -> str:
    """Return '42 s', '3 min 05 s' or '5 h 12 min'. Always two digits, so that a live line keeps its width."""
    total = round(seconds)  # rounded before the unit is chosen: 59.7 seconds are 1 min 00 s, not 60 s
    if total < 60:
        return f"{total} s"
    minutes, seconds_left = divmod(total, 60)
    if minutes < 60:
        return f"{minutes} min {seconds_left:02d} s"
    return f"{minutes // 60:,} h {minutes % 60:02d} min"


def rate(per_second: float) -> str:
    """Return '2.1/s', '15.0/min' or '1.8/h': per second if at least 1, else per minute, else per hour."""
    for unit, seconds in (("s", 1), ("min", 60)):
        if per_second * seconds >= 1:
            return f"{per_second * seconds:,.1f}/{unit}"
    return f"{per_second * 3600:,.1f}/h"


def size(count: float) -> str:
    """Return '12 MB' for a number of bytes."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if count >= 10 or unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"


def relative(difference: float) -> str:
    """Return a small ratio with one digit: '2e-7'."""
    digit, exponent = f"{difference:.0e}".split("e")
    return f"{digit}e{int(exponent)}"


def unit_of(total: int, plural: str) -> str:
    """Return the unit to write after 'done/total': 'span' if the total is 1, else 'spans'."""
    return plural.removesuffix("s") if total == 1 else plural
