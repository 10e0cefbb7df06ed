"""Answers to the exercises, by chapter: right ones in other styles than the reference's, and wrong
ones that are no trap."""

from types import ModuleType

from answers import (
    alignment,
    attention,
    families,
    multihead,
    position,
    recurrence,
    tokens,
    transformer,
)

MODULES: dict[str, ModuleType] = {
    "01_recurrence": recurrence,
    "02_alignment": alignment,
    "03_attention": attention,
    "04_multihead": multihead,
    "05_position": position,
    "06_tokens": tokens,
    "07_transformer": transformer,
    "08_families": families,
}

RIGHT = {name: functions for m in MODULES.values() for name, functions in m.RIGHT.items()}
NUMPY = {name: function for m in MODULES.values() for name, function in m.NUMPY.items()}
LIBRARY = {name: functions for m in MODULES.values() for name, functions in m.LIBRARY.items()}

WRONG = {name: functions for m in MODULES.values() for name, functions in m.WRONG.items()}
DEAR = {name: functions for m in MODULES.values() for name, functions in m.DEAR.items()}
