"""What ``timestamp.txt`` may say."""

from datetime import datetime

import pytest

from tutor.grading.times import Unclear, read


@pytest.mark.parametrize(
    ("text", "hour", "minute"),
    [
        ("2026-12-01 18:55", 18, 55),
        ("2026-12-01 18:55 UTC", 18, 55),
        ("2026-12-01 18:55:00.000000 UTC\n", 18, 55),
        ("2026-12-01T18:55:00Z", 18, 55),
        ("20261201T185500Z", 18, 55),
        ("2026-12-01T18:55:00+01:00", 17, 55),
        ("2026-12-01 18:55 +01:00", 17, 55),
        ("2026-12-01 18:55:00 +0100", 17, 55),
        ("2026-12-01 06:55 -08", 14, 55),
        ("Tue Dec 01 2026 18:55:00 GMT+0100", 17, 55),
        ("2026-12-01 18:55 UTC+3", 15, 55),
        ("2026-12-01 18:55 CET", 17, 55),
        ("2026-12-01 09:55 EST", 14, 55),
        ("2026-12-01 18:55 Europe/Berlin", 17, 55),
        ("2026-12-01 6:55 PM", 18, 55),
        ("2026-12-01 06:55 PM CET", 17, 55),
        ("1 December 2026, 12:05 am", 0, 5),
        ("Tue, 01 Dec 2026 18:55:00 +0100", 17, 55),
        ("2026/12/01 18:55", 18, 55),
        ("2026-12-01", 0, 0),
    ],
)
def test_a_time_of_one_meaning_is_converted(text, hour, minute):
    assert read(text) == datetime(2026, 12, 1, hour, minute)


def test_names_for_summer_are_known():
    assert read("2026-07-01 18:55 CEST") == datetime(2026, 7, 1, 16, 55)
    assert read("2026-07-01 18:55 PDT") == datetime(2026, 7, 2, 1, 55)
    assert read("13/12/2026 18:55") == datetime(2026, 12, 13, 18, 55)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("2026-12-01 18:55 IST", "several places have, IST"),
        ("2026-12-01 18:55 PST", "several places have, PST"),
        ("2026-12-01 18:55 CST", "several places have, CST"),
        ("2026-12-01 18:55 CEST", "nobody has at that time, CEST"),
        ("2026-12-01 18:55 MESZ", "nobody has at that time, MESZ"),
        ("2026-12-01 18:55 EST+5", "two zones"),
        ("2026-12-01 18:55 +01:00 Europe/Berlin", "two zones"),
        ("2026-12-01 18:55 Europe/Nowhere", "nobody knows, Europe/Nowhere"),
        ("01/12/2026 18:55", "which number is the month"),
        ("12-01-2026 18:55", "which number is the month"),
        ("18:55", "leaves out a part"),
        ("December 2026", "leaves out a part"),
        ("2026-12-01 25:00", "holds no date"),
        ("9999-12-31 23:59:59.999999 -2359", "holds no date"),
        ("tomorrow", "holds no date"),
        ("", "holds no date"),
        ("1" * 30 + "m", "holds no date"),
        ("9" * 4000, "holds no date"),
    ],
)
def test_a_time_of_more_meanings_is_none(text, why):
    with pytest.raises(Unclear, match=why):
        read(text)


def test_the_exchanges_zone_says_which_place_is_meant():
    assert read("2026-12-01 18:55 IST", "Asia/Kolkata") == datetime(2026, 12, 1, 13, 25)
    assert read("2026-12-01 18:55 IST", "Asia/Jerusalem") == datetime(2026, 12, 1, 16, 55)
    with pytest.raises(Unclear):
        read("2026-12-01 18:55 IST", "Europe/Berlin")
