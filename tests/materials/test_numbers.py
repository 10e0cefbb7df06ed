"""Number words: cut without loss, held out by lot, batched without waste."""

import zlib

import pytest
import torch
from num2words import num2words

from tutor.materials.numbers import (
    END,
    LARGE_LIMIT,
    LARGE_MORPHEMES,
    LARGE_VOCABULARY,
    LIMIT,
    MORPHEMES,
    PAD,
    START,
    VOCABULARY,
    decode,
    draw_numbers,
    encode,
    held_out,
    morphemes,
    pairs,
    split,
    words,
)

LANGUAGES = ("en", "de", "fr")


def draw(count, seed=0, testing=False):
    return draw_numbers(count, torch.Generator().manual_seed(seed), testing)


SOME = [*range(1_200), *draw(1_000), LIMIT - 1]


@pytest.mark.parametrize(
    ("number", "language", "expected"),
    [
        (21, "en", "twenty one"),
        (21, "de", "ein und zwanzig"),
        (21, "fr", "vingt et un"),
        (97, "fr", "quatre vingt dix sept"),
        (80, "fr", "quatre vingts"),
        (116, "de", "ein hundert sechzehn"),
        (260_601, "de", "zwei hundert sechzig tausend sechs hundert eins"),
        (1_200, "fr", "mille deux cents"),
        (0, "fr", "zéro"),
    ],
)
def test_words_are_cut_into_these_morphemes(number, language, expected):
    assert " ".join(morphemes(number, language)) == expected


@pytest.mark.parametrize("language", LANGUAGES)
def test_morphemes_are_the_whole_of_the_words(language):
    for number in SOME:
        letters = num2words(number, lang=language)
        for mark in (" ", "-", ","):
            letters = letters.replace(mark, "")
        assert "".join(morphemes(number, language)) == letters
        assert set(morphemes(number, language)) <= set(MORPHEMES[language])


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_number_reads_differently(language):
    assert len({morphemes(n, language) for n in SOME}) == len(set(SOME))


@pytest.mark.parametrize("language", LANGUAGES)
def test_decode_undoes_encode_up_to_the_first_end(language):
    for number in SOME[::50]:
        symbols = encode(number, language)
        assert decode(symbols) == morphemes(number, language)
        assert decode([*symbols, END, PAD, *symbols]) == morphemes(number, language)


def test_vocabulary_is_without_repetition_and_wholly_used():
    assert len(set(VOCABULARY)) == len(VOCABULARY)
    used = {symbol for n in SOME for language in LANGUAGES for symbol in encode(n, language)}
    assert used == set(range(4, len(VOCABULARY)))


def test_symbols_that_mean_something_else_have_their_places():
    assert (VOCABULARY[PAD], VOCABULARY[END]) == ("<pad>", "<end>")
    assert [VOCABULARY[START[to]] for to in ("de", "fr")] == ["<de>", "<fr>"]


def test_a_tenth_is_held_out_of_every_thousand():
    for start in (0, 10_000, 999_000):
        assert 50 < sum(map(held_out, range(start, start + 1_000))) < 150


@pytest.mark.parametrize("testing", [False, True])
def test_numbers_drawn_are_different_of_every_size_and_of_one_side(testing):
    drawn = draw(300, testing=testing)
    assert len(set(drawn)) == 300 and {held_out(n) for n in drawn} == {testing}
    sizes = torch.bincount(torch.tensor([max(len(str(n)), 3) for n in drawn]))[3:]
    assert sizes.min() > 25


def test_same_seed_draws_the_same_numbers_and_another_seed_others():
    assert draw(50) == draw(50) != draw(50, seed=1)


def test_more_numbers_than_can_be_drawn_are_refused():
    assert len(draw(2_000)) == 2_000
    with pytest.raises(ValueError, match="at most 20,000 numbers are drawn, got 20,001"):
        draw(20_001)


def test_pairs_are_padded_and_begin_and_end_as_they_should():
    made = pairs([21, 342_506])
    assert len(made) == 4 and made.numbers == (21, 342_506, 21, 342_506)
    assert made.lengths.tolist() == [2, 10, 2, 10] and made.source.shape == (4, 10)
    assert made.target[:, 0].tolist() == [START["de"]] * 2 + [START["fr"]] * 2
    for row, (number, to) in enumerate((n, to) for to in ("de", "fr") for n in (21, 342_506)):
        assert made.source[row, : made.lengths[row]].tolist() == encode(number, "en")
        assert not made.source[row, made.lengths[row] :].any()
        symbols = [START[to], *encode(number, to), END]
        assert made.target[row, : len(symbols)].tolist() == symbols
        assert not made.target[row, len(symbols) :].any()


def test_some_of_the_pairs_are_no_wider_than_they_need_to_be():
    made = pairs([21, 342_506])[torch.tensor([2, 0])]
    assert made.numbers == (21, 21) and made.source.shape == (2, 2)
    assert made.target.shape == (2, 5)  # START, ein und zwanzig or vingt et un, END


def test_batches_go_round_in_new_orders_and_have_one_size():
    made = pairs(draw(13), ["de"])
    batches = made.batches(5, torch.Generator().manual_seed(0))
    first, second, third = (next(batches).numbers for _ in range(3))
    assert {len(b) for b in (first, second, third)} == {5}
    assert not set(first) & set(second)
    assert set(first + second + third) <= set(made.numbers)


def test_learning_and_testing_share_no_number():
    learning, testing = split()
    assert (len(learning), len(testing)) == (10_000, 3_000)
    assert not set(learning.numbers) & set(testing.numbers)
    assert all(map(held_out, testing.numbers))


@pytest.mark.parametrize("number", [-1, LIMIT])
def test_number_out_of_range_is_refused(number):
    words(LIMIT - 1, "en")
    with pytest.raises(ValueError, match=f"from 0 to 999,999, got {number}"):
        words(number, "en")


def test_language_without_morphemes_is_refused():
    with pytest.raises(ValueError, match="languages are en, de, fr, got 'it'"):
        words(1, "it")


# The second task


@pytest.fixture(scope="module")
def large():
    """Numbers of the second task, of every size, and where its words change."""
    edges = [10**n + k for n in (6, 7, 8, 9, 10, 11) for k in (-1, 0, 1)]
    several = [2 * 10**6, 80 * 10**6, 201 * 10**6, 2 * 10**9, 21 * 10**9 + 1_001_001]
    drawn = draw_numbers(200, torch.Generator().manual_seed(0), limit=LARGE_LIMIT)
    return [*edges, *several, LARGE_LIMIT - 1, *drawn]


@pytest.mark.parametrize(
    ("number", "language", "expected"),
    [
        (1_000_000, "de", "eine Million"),
        (21_000_000, "de", "ein und zwanzig Millionen"),
        (3_001_000_001, "en", "three billion one million and one"),
        (2_001_000_000, "de", "zwei Milliarden eine Million"),
        (80_000_000, "fr", "quatre vingts millions"),
        (1_000_002_000, "fr", "un milliard deux mille"),
    ],
)
def test_words_of_large_numbers_are_cut_into_these_morphemes(number, language, expected):
    assert " ".join(morphemes(number, language, LARGE_LIMIT)) == expected


@pytest.mark.parametrize("language", LANGUAGES)
def test_morphemes_of_large_numbers_are_the_whole_of_the_words(large, language):
    for number in large:
        letters = num2words(number, lang=language)
        for mark in (" ", "-", ","):
            letters = letters.replace(mark, "")
        cut = morphemes(number, language, LARGE_LIMIT)
        assert "".join(cut) == letters and set(cut) <= set(LARGE_MORPHEMES[language])
        assert decode(encode(number, language, LARGE_LIMIT)) == cut


def test_second_task_leaves_the_first_as_it_was():
    """Its vocabulary, and by their checksums the numbers and the symbols of its pairs, as they were
    before there was a second."""
    assert LARGE_VOCABULARY[: len(VOCABULARY)] == VOCABULARY
    assert (len(VOCABULARY), len(set(LARGE_VOCABULARY))) == (94, 105)
    assert zlib.crc32(" ".join(VOCABULARY).encode()) == 1633513928
    sums = [
        [zlib.crc32(t.numpy().tobytes()) for t in (p.source, p.lengths, p.target)] for p in split()
    ]
    assert sums == [
        [2626610655, 1102389971, 522341267],
        [1518872327, 110272388, 669040801],
    ]


def test_every_symbol_of_the_second_task_is_used(large):
    used = {i for n in large for to in LANGUAGES for i in encode(n, to, LARGE_LIMIT)}
    assert used >= set(range(len(VOCABULARY), len(LARGE_VOCABULARY)))


def test_large_numbers_drawn_are_different_and_of_every_size():
    drawn = draw_numbers(600, torch.Generator().manual_seed(0), limit=LARGE_LIMIT)
    sizes = torch.bincount(torch.tensor([max(len(str(n)), 3) for n in drawn]))[3:]
    assert len(set(drawn)) == 600 and len(sizes) == 10 and sizes.min() > 30


def test_large_number_needs_its_limit_said():
    assert words(LIMIT, "en", LARGE_LIMIT) == "one million"
    with pytest.raises(ValueError, match="from 0 to 999,999,999,999, got 1000000000000"):
        words(LARGE_LIMIT, "en", LARGE_LIMIT)
