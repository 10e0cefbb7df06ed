"""What the tests of the checks have in common."""

import pytest
import torch

from tutor.checks import EXERCISES, PUBLIC_SEED, judge
from tutor.checks.report import slug

NAMES = list(EXERCISES)
TRAPS = [(e.name, t) for e in EXERCISES.values() for t in e.traps]

every_exercise = pytest.mark.parametrize("name", NAMES)
every_trap = pytest.mark.parametrize(
    ("name", "trap"), TRAPS, ids=[f"{n}-{slug(t.name)}" for n, t in TRAPS]
)


def first_arguments(name):
    generator = torch.Generator().manual_seed(PUBLIC_SEED)
    return next(iter(EXERCISES[name].cases(generator, torch.device("cpu")))).args


def report_on(name, function, **kwargs):
    return judge(EXERCISES[name], function, **kwargs)


def verdict(report, group):
    return next(v for v in report.verdicts if v.group == group)


def said(report, group):
    """What a report says of a group's first failure."""
    return "\n".join(verdict(report, group).failure.sentences)


def of_the_reference(name):
    return EXERCISES[name].reference
