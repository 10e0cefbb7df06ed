"""The path of a token: its stations, what each of them takes, and how it is drawn."""

import itertools

import matplotlib.pyplot as plt
import pytest
import torch

from tutor import assembly
from tutor.checks import EXERCISES
from tutor.materials import assembled

SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
NAMES = [name for name, *_ in assembled.STATIONS]


def test_stations_are_exercises_of_the_chapters_that_they_name():
    for name, _, chapter in assembled.STATIONS:
        assert int(EXERCISES[name].chapter[:2]) == chapter
        assert callable(getattr(assembly, name))


def test_time_of_a_station_is_without_those_that_it_calls(monkeypatch):
    """By a clock that goes on by one whenever somebody looks at it."""
    monkeypatch.setattr(assembled.time, "perf_counter", itertools.count().__next__)
    with assembled.timed() as spent:
        assembly.chat_prompt([("user", "Hi")], [], SPECIAL)
    # Five texts are encoded: of the system, of the user, two line breaks, and the open turn.
    assert spent["bpe_encode"] == 5 and spent["chat_prompt"] == 2 * 5 + 1 - 5
    assert spent["stream"] == 0


def test_functions_are_back_when_time_is_no_longer_taken():
    before = {name: getattr(assembly, name) for name in NAMES}
    with pytest.raises(ValueError, match="at least one message"), assembled.timed():
        assembly.chat_prompt([], [], SPECIAL)
    assert {name: getattr(assembly, name) for name in NAMES} == before


def test_path_shows_every_station_with_its_time_and_its_note():
    assembled.drawn({name: float(i) for i, name in enumerate(NAMES)}, {"stream": "mine"})
    (axes,) = plt.gcf().axes
    said = [text.get_text() for text in axes.texts]
    assert {f"{i:.1f} ms" for i in range(len(NAMES))} <= set(said) and "mine" in said
    dark = [box.get_facecolor()[3] for box in axes.patches[: len(NAMES)]]
    once = len(assembled.ONCE)
    assert dark[once:] == sorted(dark[once:]) and dark[0] == dark[once - 1] < dark[once] < dark[-1]
    plt.close("all")


def test_file_is_told_by_its_numbers():
    stored = assembled.Stored(
        ["a"],
        ["F32"],
        [torch.zeros(3)],
        [(72, 105)],
        ["<|im_end|>", "<|endoftext|>"],
        torch.zeros(1),
    )
    assert stored.stop == [257, 258] and stored.tokens[256:] == [
        b"Hi",
        b"<|im_end|>",
        b"<|endoftext|>",
    ]
    assert stored.nbytes == 12
