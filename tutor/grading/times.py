"""The time at which something was handed in, from what stands in ``timestamp.txt``.

nbgrader reads most zones and every 12-hour clock as another time, without a word. Here a time is
converted if it can mean one thing only, and otherwise refused: nobody is late by a guess.
"""

import re
from datetime import datetime, timedelta, timezone, tzinfo
from functools import cache
from zoneinfo import ZoneInfo, available_timezones

import dateutil.parser

_DEFAULTS = datetime(2000, 1, 1), datetime(2001, 2, 2)
_BY_ITS_NAME = re.compile(r"\s+([A-Za-z]+/[\w/+-]+)$")
_YEAR_FIRST = re.compile(r"\d{4}([-/.]?)\d\d\1\d\d(?!\d)")
_UTC_AND_MORE = re.compile(r"\b(?:UTC|GMT) ?(?=[+-]\d)")


class Unclear(ValueError):
    """What a time says, and why it is none: the end of a sentence."""


def read(text: str, here: str = "UTC") -> datetime:
    """In UTC, without a zone; one without a zone is UTC. Unclear if it has no one meaning.

    A name that places share, as IST in India, Israel and Ireland, means the zone ``here`` if that
    has this name at the time, and nothing otherwise.
    """
    text, zone = _UTC_AND_MORE.sub("", text.strip()), None
    if named := _BY_ITS_NAME.search(text):
        text, zone = text[: named.start()], _zones().get(named[1])
        if zone is None:
            raise Unclear(f"names a zone that nobody knows, {named[1]}")
    found = {_parsed(text, default, False, here) for default in _DEFAULTS}
    if len(found) > 1:
        raise Unclear("leaves out a part of the date")
    if not _YEAR_FIRST.match(text) and _parsed(text, _DEFAULTS[0], True, here) not in found:
        raise Unclear("does not say which number is the month: write 2026-12-01 for 1 December")
    (time,) = found
    if zone is not None:
        if time.tzinfo is not None:
            raise Unclear("names two zones")
        time = time.replace(tzinfo=zone)
    try:
        return time if time.tzinfo is None else (time - time.utcoffset()).replace(tzinfo=None)
    except OverflowError:
        raise Unclear("holds no date") from None


def _parsed(text: str, default: datetime, day_first: bool, here: str) -> datetime:
    names = []

    def zone(name: str | None, offset: int | None) -> tzinfo | None:
        if name in (None, "UTC", "GMT", "Z"):
            return None if offset is None else timezone(timedelta(seconds=offset))
        names.append((name, offset))
        return None

    try:
        time = dateutil.parser.parse(text, default=default, dayfirst=day_first, tzinfos=zone)
    except Exception:  # it raises whatever its arithmetic does
        raise Unclear("holds no date") from None
    if not names:
        return time
    ((name, offset),) = names
    if offset is not None:
        raise Unclear("names two zones")
    return time.replace(tzinfo=timezone(_offset(name, time, here)))


def _offset(name: str, time: datetime, here: str) -> timedelta:
    """Of the zone of that name, as everybody who has it at that time agrees."""
    ours = _zones().get(here)
    if ours is not None and ours.tzname(time) == name:
        return ours.utcoffset(time)
    offsets = {zone.utcoffset(time) for zone in _zones().values() if zone.tzname(time) == name}
    if len(offsets) == 1:
        return offsets.pop()
    if not offsets:
        raise Unclear(f"names a zone that nobody has at that time, {name}")
    raise Unclear(f"names a zone that several places have, {name}: c.Exchange.timezone tells which")


@cache
def _zones() -> dict[str, tzinfo]:
    return {name: ZoneInfo(name) for name in available_timezones()}
