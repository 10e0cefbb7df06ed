"""Chapter 6's reference, held to Hugging Face's tokenizers, to torch and to values by hand."""

import ast
import json
import math
import pydoc
import random
import re
import unicodedata
from collections import Counter
from functools import cache, partial
from itertools import pairwise, product
from pydoc_data.topics import topics

import pytest
import regex
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from num2words import num2words
from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from torch import nn
from torch.nn import functional as F

from tutor import ROOT
from tutor.materials.byte_level import GPT2_BYTES, BytePairs, byte_pairs
from tutor.materials.smollm2 import model_file, read_tokenizer
from tutor.tokens import (
    UNKNOWN_PENALTY,
    AdaptiveSoftmax,
    TiedEmbedding,
    adaptive_log_prob,
    bpe_decode,
    bpe_encode,
    bpe_tokens,
    split_pieces,
    tied_logits,
    train_bpe,
    unigram_segment,
)

B, T, C, V = 2, 3, 16, 11
DOUBLE = {"atol": 1e-6, "rtol": 1e-6}
SINGLE = {"atol": 1e-5, "rtol": 1e-5}
GERMAN = " ".join(num2words(n, lang="de") for n in range(0, 100_000, 617))
BYTE_LEVEL = pre_tokenizers.ByteLevel(add_prefix_space=False)
TO_GPT2 = bytes.maketrans(GPT2_BYTES, bytes(range(256)))
"""The fixed renumbering of the 256 bytes: to GPT-2's ids, which are Hugging Face's."""

TEXTS = {
    "English": topics["assignment"] + topics["class"],
    "German": GERMAN + " Die Größe der Straße, über Äpfel und Öl; ein Fuß. »Weiß?« " * 7,
    "emoji": "👍🏽 👨‍👩‍👧 😀😀 🇩🇪🇫🇷 ok👍 a😀b ❤️ " * 5 + "👨‍👩‍👧‍👦🏴󠁧󠁢󠁳󠁣󠁴󠁿",
    "mixed scripts": "日本語 テキスト한국어 Ελληνικά русский עברית العربية हिन्दी ไทย a漢b "
    "½ Ⅷ ٣٤ １２ " * 4,
    "control characters": "".join(map(chr, [*range(33), *range(127, 161)])) * 3
    + "a\r\n\tb \x1c\x1d c\x85 d\u2028\u200be\ufeff\x00\x00",
    "white space": "   a  b\n\n c \t\t d\r\n  \n e   \u3000\xa0 f ",
    "apostrophes": "I'll we've don't he's 'S 'll '' x's's 're",
    "runs": "a" * 41 + " " + "ab" * 23 + " " + "a" * 7 + " aaaa bbb " + "aab" * 11,
    "nothing": "",
}
every_text = pytest.mark.parametrize("name", TEXTS)

byte_strings = st.binary(max_size=64) | st.text(max_size=40).map(str.encode)
bounded = settings(derandomize=True, max_examples=200, deadline=None, database=None)


def characters() -> list[str]:
    """The character that Hugging Face shows for each byte, asked of its own pre-tokenizer."""
    shown = ["".join(p for p, _ in BYTE_LEVEL.pre_tokenize_str(chr(n))) for n in range(256)]
    # A character from 128 on is two bytes; the second of those, and C2, C3 begin with, are enough
    # for all bytes but those that stand in no UTF-8: these are listed by their alphabet alone.
    found = {b: c for n in range(256) for b, c in zip(chr(n).encode(), shown[n], strict=True)}
    rest = sorted(set(BYTE_LEVEL.alphabet()) - set(found.values()))
    return [found.get(b) or rest.pop(0) for b in range(256)]


CHARACTER = characters()


def as_hugging_face_writes(piece: bytes) -> str:
    return "".join(CHARACTER[b] for b in piece)


def trained(texts: list[str], num_merges: int, cut: bool = True) -> tuple[Tokenizer, dict]:
    """Their tokenizer and its vocabulary and merges; not cut: each text is one piece as it is."""
    tokenizer = Tokenizer(models.BPE())
    if cut:
        tokenizer.pre_tokenizer = BYTE_LEVEL
    trainer = trainers.BpeTrainer(
        vocab_size=256 + num_merges,
        min_frequency=0,
        show_progress=False,
        initial_alphabet=BYTE_LEVEL.alphabet(),
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer, json.loads(tokenizer.to_str())["model"]


def renumbered(pieces: Counter[bytes]) -> Counter[bytes]:
    return Counter({piece.translate(TO_GPT2): n for piece, n in pieces.items()})


def their_merges(model: dict) -> list[tuple[int, int]]:
    """As ids; each of their merges makes the next one."""
    vocab, merges = model["vocab"], model["merges"]
    made = [vocab[left + right] for left, right in merges]
    assert made == list(range(256, 256 + len(merges)))
    return [(vocab[left], vocab[right]) for left, right in merges]


# Pieces


@every_text
@pytest.mark.parametrize("digits_apart", [False, True])
def test_pieces_are_those_of_hugging_faces_byte_level(name, digits_apart):
    theirs = BYTE_LEVEL
    if digits_apart:
        digits = pre_tokenizers.Digits(individual_digits=True)
        theirs = pre_tokenizers.Sequence([digits, BYTE_LEVEL])
    expected = [piece for piece, _ in theirs.pre_tokenize_str(TEXTS[name])]
    assert [*map(as_hugging_face_writes, split_pieces(TEXTS[name], digits_apart))] == expected


def test_pieces_by_hand():
    assert split_pieces("Hello, world  it's 42!\n") == [
        *(b"Hello", b",", b" world", b" ", b" it", b"'s", b" 42", b"!", b"\n")
    ]
    assert split_pieces("a 42", digits_apart=True) == [b"a", b" ", b"4", b"2"]
    assert split_pieces("a 42") == [b"a", b" 42"]


@bounded
@given(byte_strings, st.booleans())
def test_pieces_of_any_bytes_join_to_them(text, digits_apart):
    pieces = split_pieces(text, digits_apart)
    assert b"".join(pieces) == text
    assert all(pieces)


@bounded
@given(st.text(max_size=40))
def test_pieces_of_a_text_are_those_of_its_utf8(text):
    assert split_pieces(text) == split_pieces(text.encode())


@cache
def notebooks_split_pieces():
    """What the exercises' first cell gives, without the rest of that cell."""
    cells = json.loads((ROOT / "exercises/06_tokens/tokens.ipynb").read_text("utf-8"))["cells"]
    given = next(c for c in cells if c["metadata"].get("nbgrader", {}).get("grade_id") == "setup")
    wanted = [n for n in ast.parse("".join(given["source"])).body if not isinstance(n, ast.Try)]
    space = {"regex": regex}
    exec(compile(ast.Module(wanted, []), "<setup>", "exec"), space)
    return space["split_pieces"]


@every_text
def test_notebook_gives_the_same_pieces(name):
    given = notebooks_split_pieces()
    assert given(TEXTS[name]) == split_pieces(TEXTS[name])
    assert given(TEXTS[name].encode()) == split_pieces(TEXTS[name])


@bounded
@given(byte_strings)
def test_notebook_gives_the_same_pieces_of_any_bytes(text):
    assert notebooks_split_pieces()(text) == split_pieces(text)


def test_bytes_that_are_no_utf8_count_as_signs():
    assert split_pieces(b"a\xff\xfe b\xc3 c") == [b"a", b"\xff\xfe", b" b", b"\xc3", b" c"]


def test_half_a_surrogate_pair_is_refused():
    assert split_pieces("\U0001f600") == ["😀".encode()]
    with pytest.raises(UnicodeEncodeError, match="surrogates not allowed"):
        split_pieces("\ud83d")


def test_whitespace_is_unicodes_and_no_control_character():
    # regex's own \s has 1C to 1F, which is why the pattern asks for the property.
    assert split_pieces("\x1c\x1f  \x85") == [b"\x1c\x1f", b"  \xc2\x85"]
    assert unicodedata.category("\x1c") == "Cc"


def test_gpt2s_bytes_are_its_alphabet_in_the_order_of_its_ids():
    assert sorted(GPT2_BYTES) == list(range(256))
    assert "".join(CHARACTER[b] for b in GPT2_BYTES) == "".join(sorted(BYTE_LEVEL.alphabet()))
    assert GPT2_BYTES.index(b"!") == 0
    assert GPT2_BYTES.index(b" ") == 220


# Training


def test_merges_by_hand():
    # Counts: aa 2, ab 1. X = aa makes Xab, in which ab and Xa come once each: the smaller ids win.
    assert train_bpe({b"aaab": 1}, 9) == [(97, 97), (97, 98), (256, 257)]


def test_merges_of_the_published_example():
    # Sennrich et al. 2016, algorithm 1, without its end-of-word sign: es and st come 9 times each,
    # and so do we (6 + 2 + ...) less often: es is smaller than st, then est, then lo, low.
    words = {b"low": 5, b"lower": 2, b"newest": 6, b"widest": 3}
    tokens = bpe_tokens(train_bpe(words, 4))
    assert tokens[256:] == [b"es", b"est", b"lo", b"low"]


def test_pair_counts_with_its_piece():
    assert train_bpe({b"ab": 2, b"cdcd": 1, b"ce": 3}, 1) == [(ord("c"), ord("e"))]
    assert train_bpe({b"ab": 2, b"cdcd": 2, b"ce": 3}, 1) == [(ord("c"), ord("d"))]


def test_overlapping_pairs_merge_from_left_to_right():
    assert train_bpe({b"aaaaa": 1}, 2) == [(97, 97), (256, 97)]
    # XXa: neither Xa nor XX is left over from the pairs of a a that X swallowed.
    assert bpe_tokens(train_bpe({b"aaaaa": 1}, 9))[256:] == [b"aa", b"aaa", b"aaaaa"]


def test_ties_go_to_the_smallest_ids_whatever_the_order_of_the_text():
    pieces = {b"zy": 4, b"ab": 4, b"ba": 4, b"az": 4}
    expected = [(97, 98), (97, 122), (98, 97), (122, 121)]
    for items in (pieces.items(), reversed(pieces.items()), sorted(pieces.items())):
        assert train_bpe(dict(items), 9) == expected


def test_nothing_merges_across_pieces():
    assert train_bpe(Counter(split_pieces("a b a b a b")), 9) == [(32, 98), (32, 97)]
    assert train_bpe({b"a": 7, b"b": 7}, 9) == []


def test_training_ends_when_no_pair_is_left():
    assert train_bpe({}, 5) == []
    assert train_bpe({b"": 1, b"x": 3}, 5) == []
    assert train_bpe({b"abc": 1}, 5) == [(97, 98), (256, 99)]


def test_training_does_not_change_its_pieces_and_makes_as_many_merges_as_asked():
    pieces = Counter(split_pieces(TEXTS["German"]))
    before = dict(pieces)
    merges = train_bpe(pieces, 100)
    assert len(merges) == 100
    assert train_bpe(pieces, 7) == merges[:7]
    assert train_bpe(pieces, 0) == []
    assert pieces == before


def test_negative_number_of_merges_is_refused():
    with pytest.raises(ValueError, match=re.escape("num_merges (-1)")):
        train_bpe({b"ab": 1}, -1)


def recounted(pieces: dict[bytes, int], num_merges: int) -> list[tuple[int, int]]:
    """Training as one would write it down: all pairs counted again before each merge."""
    words = [(list(piece), n) for piece, n in pieces.items()]
    merges = []
    while len(merges) < num_merges:
        counts: Counter[tuple[int, int]] = Counter()
        for ids, n in words:
            for pair in pairwise(ids):
                counts[pair] += n
        if not counts:
            break
        best = min(counts, key=lambda pair: (-counts[pair], pair))
        for ids, _ in words:
            place = 0
            while place < len(ids) - 1:
                if (ids[place], ids[place + 1]) == best:
                    ids[place : place + 2] = [256 + len(merges)]
                place += 1
        merges.append(best)
    return merges


small_pieces = st.dictionaries(
    st.text("ab", max_size=12).map(str.encode) | st.binary(max_size=6),
    st.integers(1, 4),
    max_size=6,
)


@bounded
@given(small_pieces, st.integers(0, 30))
def test_training_equals_counting_everything_again(pieces, num_merges):
    assert train_bpe(pieces, num_merges) == recounted(pieces, num_merges)


class Seen(int):
    """A number of occurrences that knows how often such were added or taken away."""

    times = 0

    def __add__(self, other):
        Seen.times += 1
        return int(self) + other

    def __rsub__(self, other):
        Seen.times += 1
        return other - int(self)

    __radd__ = __add__


def visits(pieces: Counter[bytes], num_merges: int) -> int:
    Seen.times = 0
    train_bpe({piece: Seen(n) for piece, n in pieces.items()}, num_merges)
    return Seen.times


def test_pairs_are_updated_and_not_counted_again():
    pieces = Counter(split_pieces(TEXTS["English"]))
    pairs = sum(len(piece) - 1 for piece in pieces)
    assert visits(pieces, 0) == pairs
    # Each merge at a place ends one pair there and changes two neighbours, and leaves one id less.
    assert pairs < visits(pieces, 10**6) <= pairs + 5 * pairs
    assert 0 < visits(pieces, 400) - visits(pieces, 300) < pairs


@every_text
def test_merges_are_hugging_faces(name):
    """With the fixed renumbering of the bytes, the merges are its own, number for number."""
    text = TEXTS[name]
    _, model = trained([text], 300)
    merges = train_bpe(renumbered(Counter(split_pieces(text))), 300)
    assert merges == their_merges(model)


@pytest.mark.parametrize("alphabet", [1, 2, 3, 5, 256])
def test_merges_of_random_bytes_are_hugging_faces(alphabet):
    draw = random.Random(alphabet)
    for _ in range(40):
        pieces: Counter[bytes] = Counter()
        for _ in range(draw.randrange(1, 12)):
            size = draw.randrange(1, 40)
            pieces[bytes(draw.randrange(alphabet) for _ in range(size))] += draw.randrange(1, 5)
        pieces = Counter({bytes(b * 7 % 256 for b in p): n for p, n in pieces.items()})
        texts = [as_hugging_face_writes(p) for p, n in pieces.items() for _ in range(n)]
        _, model = trained(texts, 40, cut=False)
        assert train_bpe(renumbered(pieces), 40) == their_merges(model)


# Encoding and decoding


def test_encoding_by_hand():
    assert bpe_encode("aaab", [(97, 97)]) == [256, 97, 98]
    assert bpe_encode("", [(97, 97)]) == []
    assert bpe_encode("é", []) == [0xC3, 0xA9]
    assert bpe_encode(b"\xff", [(97, 97)]) == [0xFF]


def test_earliest_merge_comes_first_and_not_the_first_pair():
    merges = [(98, 99), (97, 98)]  # bc before ab
    assert bpe_encode("abc", merges) == [97, 256]
    assert bpe_encode("abab", merges) == [257, 257]


def test_longest_match_is_not_what_encoding_does():
    merges = [(97, 98), (98, 99), (257, 100)]  # ab, bc, bcd
    assert bpe_encode("abcd", merges) == [256, 99, 100]


def test_encoding_stays_within_pieces():
    merges = [(32, 98), (97, 32), (97, 256)]
    assert bpe_encode("a b", merges) == [97, 256]
    assert bpe_encode("a b", merges, split=lambda text: [text]) == [258]


def test_special_tokens_are_cut_out_first():
    merges, special = [(60, 97), (97, 62)], ["<a>", "<a><b>", "\n\n"]
    assert bpe_encode("x<a>y", merges, special) == [120, 258, 121]
    assert bpe_encode("<a><b><a>", merges, special) == [259, 258]
    assert bpe_encode("\n\n\n", merges, special) == [260, 10]
    assert bpe_encode("<a>", merges) == [60, 97, 62]  # three pieces
    assert bpe_encode("\n", merges, special) == [10]
    # Cut before the pieces: the space stays with what is before the token.
    assert bpe_encode("b <a> c", merges, special) == [98, 32, 258, 32, 99]


def test_special_tokens_are_text_and_no_pattern():
    assert bpe_encode("aab", [], ["a+", ".|."]) == [97, 97, 98]
    assert bpe_encode("a+.|.", [], ["a+", ".|."]) == [256, 257]
    assert bpe_encode("<ü>", [], ["<ü>"]) == [256]


def test_empty_special_token_is_refused():
    assert bpe_encode("a", [], ["b"]) == [97]
    with pytest.raises(ValueError, match=re.escape("empty: ['b', '']")):
        bpe_encode("a", [], ["b", ""])


@every_text
@pytest.mark.parametrize("learned", ["English", "German", "emoji", "mixed scripts", "runs"])
def test_ids_are_hugging_faces(name, learned):
    tokenizer, _ = trained([TEXTS[learned]], 200)
    merges, _, numbers = byte_pairs(tokenizer)
    ids = bpe_encode(TEXTS[name], merges)
    assert [numbers[i] for i in ids] == tokenizer.encode(TEXTS[name]).ids
    assert [*map(numbers.__getitem__, range(256, len(numbers)))] == [*range(256, len(numbers))]
    assert bpe_decode(ids, merges).decode() == TEXTS[name]


def test_ids_of_random_bytes_are_hugging_faces():
    draw = random.Random(0)
    pieces = [draw.randbytes(draw.randrange(1, 30)) for _ in range(60)]
    pieces += [bytes(draw.choices(b"\x00\x80\xff", k=20)) for _ in range(60)]
    tokenizer, _ = trained([*map(as_hugging_face_writes, pieces)], 300, cut=False)
    merges, _, numbers = byte_pairs(tokenizer)
    for piece in pieces:
        ids = bpe_encode(piece[::-1], merges, split=lambda text: [text])
        theirs = tokenizer.encode(as_hugging_face_writes(piece[::-1])).ids
        assert [numbers[i] for i in ids] == theirs


@cache
def merges_of_everything() -> tuple[tuple[int, int], ...]:
    return tuple(train_bpe(Counter(split_pieces("".join(TEXTS.values()))), 400))


@bounded
@given(byte_strings)
def test_every_byte_string_comes_back(text):
    merges = merges_of_everything()
    assert bpe_decode(bpe_encode(text, merges), merges) == text
    assert bpe_decode(bpe_encode(text, merges, ["a", "\x00"]), merges, ["a", "\x00"]) == text


@bounded
@given(small_pieces, st.integers(0, 30))
def test_pieces_that_were_learned_come_back_and_are_merged_as_in_training(pieces, num_merges):
    merges = train_bpe(pieces, num_merges)
    for piece in pieces:
        ids = bpe_encode(piece, merges, split=lambda text: [text])
        assert bpe_decode(ids, merges) == piece
        assert not set(pairwise(ids)) & set(merges)


def test_every_byte_alone_comes_back():
    for b in range(256):
        assert bpe_encode(bytes([b]), merges_of_everything()) == [b]
        assert bpe_decode([b], []) == bytes([b])


def test_half_a_character_is_decoded_to_its_bytes():
    ids = bpe_encode("ß", [])
    assert bpe_decode(ids[:1], []) == b"\xc3"
    assert b"".join(bpe_decode([i], []) for i in ids).decode() == "ß"
    assert bpe_decode(ids[:1], []).decode("utf-8", errors="replace") == "\N{REPLACEMENT CHARACTER}"


def test_decoding_by_hand():
    merges = [(97, 98), (256, 256)]
    assert bpe_decode([257, 97, 258], merges, ["<end>"]) == b"ababa<end>"
    assert bpe_decode([], merges) == b""
    assert bpe_tokens(merges, ["ß"])[256:] == [b"ab", b"abab", "ß".encode()]


@pytest.mark.parametrize("unknown", [-1, 257, 300])
def test_id_outside_the_vocabulary_is_refused(unknown):
    assert bpe_decode([256], [(97, 98)]) == b"ab"
    with pytest.raises(ValueError, match=f"id {unknown} is not in the vocabulary of 257"):
        bpe_decode([97, unknown], [(97, 98)])


@pytest.mark.parametrize("merge", [(257, 97), (97, 300), (-1, 97)])
def test_merge_of_an_id_that_is_not_made_yet_is_refused(merge):
    assert bpe_tokens([(97, 98), (256, 97)])[257] == b"aba"
    with pytest.raises(ValueError, match=re.escape(f"merge {merge} comes when there are 257 ids")):
        bpe_tokens([(97, 98), merge])


# SmolLM2's own vocabulary


@pytest.fixture(scope="module")
def smollm2() -> tuple[Tokenizer, BytePairs]:
    tokenizer = read_tokenizer(model_file())
    return tokenizer, byte_pairs(tokenizer)


def lines_of_real_text() -> list[str]:
    """Docstrings, documentation and German number words: 1,000 lines."""
    documented = (json, random, re, unicodedata, pydoc, Counter, str, dict, bytes, int)
    docs = [
        line
        for thing in documented
        for name in sorted(dir(thing))
        for line in (getattr(getattr(thing, name), "__doc__", None) or "").splitlines()
    ]
    manual = "\n".join(topics[name] for name in sorted(topics)).splitlines()
    german = [f"{n} heißt {num2words(n, lang='de')}." for n in range(0, 999_999, 4_999)]
    lines = [line for line in dict.fromkeys(docs[:900] + manual) if line][:800] + german[:200]
    assert len(lines) == 1000
    return lines


def test_smollm2s_ids_on_a_thousand_lines(smollm2):
    tokenizer, (merges, special, numbers) = smollm2
    assert len(set(numbers) - {None}) == tokenizer.get_vocab_size() == 49152
    lines = lines_of_real_text()
    # In one text, with a special token between the lines: what it costs to take in the merges
    # is paid once.
    between = special[0]
    ids = bpe_encode(between.join(lines), merges, special, partial(split_pieces, digits_apart=True))
    assert [numbers[i] for i in ids] == tokenizer.encode(between.join(lines)).ids
    mark = 256 + len(merges)
    bounds = [-1, *(at for at, i in enumerate(ids) if i == mark), len(ids)]
    each = [[numbers[i] for i in ids[a + 1 : b]] for a, b in pairwise(bounds)]
    assert each == [tokenizer.encode(line).ids for line in lines]
    assert bpe_decode(ids, merges, special).decode() == between.join(lines)


def test_smollm2_lacks_bytes_and_has_all_digits_apart(smollm2):
    tokenizer, (merges, special, numbers) = smollm2
    assert None in numbers[:256]
    digits = partial(split_pieces, digits_apart=True)
    assert len(bpe_encode("12345", merges, special, digits)) == 5
    missing = chr(numbers.index(None))
    assert numbers[bpe_encode(missing, merges)[0]] is None
    assert tokenizer.encode(missing).ids == []


# Unigram


def test_segments_by_hand():
    scores = {"a": -1.0, "b": -1.0, "c": -1.0, "ab": -1.5, "bc": -1.25}
    assert unigram_segment("abc", scores) == ["a", "bc"]  # -2.25 against -2.5 and -3
    assert unigram_segment("ab", scores) == ["ab"]
    assert unigram_segment("", scores) == []


def test_longest_match_is_not_the_likeliest():
    scores = {"un": -2.0, "unt": -2.5, "i": -6.0, "il": -4.0, "til": -2.0, "l": -6.0}
    assert unigram_segment("until", scores) == ["un", "til"]


def test_unknown_characters_stand_together_below_the_least_likely_piece():
    scores = {"a": -1.0, "b": -3.0, "ab": -2.0}
    assert unigram_segment("xyabz", scores) == ["xy", "ab", "z"]
    # A piece is taken only if it is worth more than what is unknown.
    rare = {"a": -1.0, "ax": -1.0 - UNKNOWN_PENALTY - 1.5, "x y": -5.0}
    unknown = min(rare.values()) - UNKNOWN_PENALTY
    assert rare["ax"] > rare["a"] + unknown
    assert unigram_segment("ax", rare) == ["ax"]


def test_equally_likely_segments_end_with_the_longest_piece():
    assert unigram_segment("abc", {"a": -1.0, "ab": -1.0, "bc": -1.0, "c": -1.0}) == ["a", "bc"]
    assert unigram_segment("aaa", {"a": -1.0, "aa": -1.0}) == ["a", "aa"]
    assert unigram_segment("aa", {"a": -1.0, "aa": -2.0}) == ["aa"]


def test_no_known_piece_is_refused():
    assert unigram_segment("ab", {"a": -1.0}) == ["a", "b"]
    with pytest.raises(ValueError, match="log_probs is empty"):
        unigram_segment("ab", {})


def segmentations(text: str):
    """Every way to cut a text."""
    for cuts in product([False, True], repeat=max(0, len(text) - 1)):
        bounds = [0, *(i + 1 for i, cut in enumerate(cuts) if cut), len(text)]
        yield [text[a:b] for a, b in pairwise(bounds)] if text else []


log_probabilities = st.dictionaries(
    st.text("abc", min_size=1, max_size=4), st.floats(-9, -0.5), min_size=1, max_size=12
)


@bounded
@given(st.text("abc", max_size=8), log_probabilities)
def test_no_other_segmentation_is_likelier(text, scores):
    scores = {"a": -4.0, "b": -4.0, "c": -4.0} | scores  # nothing is unknown
    known = [ways for ways in segmentations(text) if all(piece in scores for piece in ways)]
    best = max(sum(scores[piece] for piece in pieces) for pieces in known)
    segmented = unigram_segment(text, scores)
    assert segmented in known
    assert math.isclose(sum(scores[piece] for piece in segmented), best, rel_tol=1e-12)


def unigram_of(scores: dict[str, float]) -> Tokenizer:
    return Tokenizer(models.Unigram([("<unk>", 0.0), *scores.items()], unk_id=0))


@bounded
@given(st.text("abcdé😀", max_size=16), log_probabilities)
def test_segments_are_hugging_faces(text, scores):
    # Its unknown token is a piece of its own, which no text here has; its score must not be the
    # least one, since the penalty counts from there.
    assert unigram_segment(text, scores) == unigram_of(scores).encode(text).tokens or (
        pieces_with_unknown(text, scores) == unigram_of(scores).encode(text).ids
    )


def pieces_with_unknown(text: str, scores: dict[str, float]) -> list[int]:
    """Hugging Face's ids: 0 for what is unknown."""
    number = {piece: i + 1 for i, piece in enumerate(scores)}
    return [number.get(piece, 0) for piece in unigram_segment(text, scores)]


@bounded
@given(st.text("ab x", max_size=16), st.sets(st.text("ab", min_size=1, max_size=4), min_size=1))
def test_ties_are_decided_as_hugging_faces(text, pieces):
    scores = {piece: -float(len(piece)) for piece in sorted(pieces)}
    assert pieces_with_unknown(text, scores) == unigram_of(scores).encode(text).ids


def test_segments_of_a_trained_model_are_hugging_faces():
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    text = TEXTS["English"] + TEXTS["German"]
    trainer = trainers.UnigramTrainer(
        vocab_size=300, unk_token="<unk>", special_tokens=["<unk>"], show_progress=False
    )
    tokenizer.train_from_iterator([text], trainer)
    model = json.loads(tokenizer.to_str())["model"]
    scores = {piece: score for piece, score in model["vocab"] if piece != "<unk>"}
    words = [w for w, _ in tokenizer.pre_tokenizer.pre_tokenize_str(text + TEXTS["mixed scripts"])]
    ids = {piece: i for i, (piece, _) in enumerate(model["vocab"])}
    unknown = model["unk_id"]
    ours = [ids.get(piece, unknown) for word in words for piece in unigram_segment(word, scores)]
    assert ours == tokenizer.encode(text + TEXTS["mixed scripts"]).ids


# One matrix, twice


def test_tied_logits_by_hand():
    embedding = torch.tensor([[1.0, 0.0], [0.0, 2.0], [3.0, -1.0]])
    hidden = torch.tensor([2.0, 5.0])
    torch.testing.assert_close(tied_logits(hidden, embedding), torch.tensor([2.0, 10.0, 1.0]))


@pytest.mark.parametrize("batch", [(), (T,), (B, T)])
def test_tied_logits_are_a_linear_layer_of_the_embedding(batch):
    embedding, hidden = nn.Embedding(V, C).double(), torch.randn(*batch, C).double()
    layer = nn.Linear(C, V, bias=False).double()
    layer.weight = embedding.weight
    torch.testing.assert_close(tied_logits(hidden, embedding.weight), layer(hidden), **DOUBLE)


def test_tied_embedding_has_one_matrix_under_torchs_name():
    tied, embedding = TiedEmbedding(V, C), nn.Embedding(V, C)
    tied.load_state_dict(embedding.state_dict())
    assert {name: p.shape for name, p in tied.named_parameters()} == {"weight": (V, C)}
    ids = torch.randint(V, (B, T))
    assert torch.equal(tied(ids), embedding(ids))
    assert torch.equal(tied.logits(tied(ids)), tied_logits(embedding(ids), embedding.weight))


def test_both_ends_of_a_tied_embedding_move_its_matrix():
    tied, ids = TiedEmbedding(V, C).double(), torch.tensor([[1, 4]])
    (read,) = torch.autograd.grad(tied(ids).square().sum(), tied.weight)
    assert read.any(dim=1).nonzero()[:, 0].tolist() == [1, 4]
    (both,) = torch.autograd.grad(F.cross_entropy(tied.logits(tied(ids))[0], ids[0]), tied.weight)
    assert both.any(dim=1).all()


def test_logits_of_a_fresh_tied_embedding_have_unit_variance():
    torch.manual_seed(0)
    tied = TiedEmbedding(4001, 64)
    # 4,001 × 101 products: the share by which their variance may be off, times ten.
    variance = tied.logits(torch.randn(101, 64)).var().item()
    assert abs(variance - 1) < 10 * math.sqrt(2 / (64 * 101))


# Adaptive softmax

CUTOFFS = [
    pytest.param(13, [6], 4.0, id="one cluster"),
    pytest.param(29, [5, 12], 2.0, id="two clusters"),
    pytest.param(37, [3, 8, 21], 1.5, id="three clusters"),
    pytest.param(7, [1, 2], 4.0, id="one token in the head and one in a cluster"),
]
every_split = pytest.mark.parametrize("classes, cutoffs, div_value", CUTOFFS)


def torchs_and_ours(classes, cutoffs, div_value, dtype=torch.float64):
    torchs = nn.AdaptiveLogSoftmaxWithLoss(C, classes, cutoffs, div_value=div_value).to(dtype)
    ours = AdaptiveSoftmax(C, classes, cutoffs, div_value).to(dtype)
    ours.load_state_dict(torchs.state_dict())
    return torchs, ours


@every_split
@pytest.mark.parametrize(
    "dtype, near", [(torch.float64, DOUBLE), (torch.float32, SINGLE)], ids=["double", "single"]
)
def test_adaptive_softmax_is_torchs(classes, cutoffs, div_value, dtype, near):
    torchs, ours = torchs_and_ours(classes, cutoffs, div_value, dtype)
    hidden = 5 * torch.randn(2 * classes, C, dtype=dtype)
    target = torch.arange(2 * classes) % classes  # every token is asked for
    torch.testing.assert_close(ours.log_prob(hidden), torchs.log_prob(hidden), **near)
    theirs, found = torchs(hidden, target), ours(hidden, target)
    torch.testing.assert_close(found.output, theirs.output, **near)
    torch.testing.assert_close(found.loss, theirs.loss, **near)


@every_split
def test_adaptive_gradients_are_torchs(classes, cutoffs, div_value):
    torchs, ours = torchs_and_ours(classes, cutoffs, div_value)
    hidden = torch.randn(classes, C, dtype=torch.float64, requires_grad=True)
    target = torch.randperm(classes)
    theirs = torch.autograd.grad(
        torchs(hidden, target).loss, [hidden, *torchs.parameters()], allow_unused=True
    )
    mine = torch.autograd.grad(ours(hidden, target).loss, [hidden, *ours.parameters()])
    for a, b in zip(mine, theirs, strict=True):
        torch.testing.assert_close(a, b, **DOUBLE)


@every_split
def test_adaptive_loss_is_that_of_the_full_log_probabilities(classes, cutoffs, div_value):
    _, ours = torchs_and_ours(classes, cutoffs, div_value)
    hidden, target = torch.randn(9, C).double(), torch.randint(classes, (9,))
    full = F.nll_loss(ours.log_prob(hidden), target)
    torch.testing.assert_close(ours(hidden, target).loss, full, **DOUBLE)


def test_adaptive_log_prob_by_hand():
    # The head gives token 0 and the cluster a half each; in it the scores are 0 and ln 3.
    head = torch.zeros(2, 1)
    tails = [(torch.ones(1, 1), torch.tensor([[0.0], [math.log(3)]]))]
    expected = torch.tensor([1 / 2, 1 / 8, 3 / 8]).log()
    torch.testing.assert_close(adaptive_log_prob(torch.ones(1), head, tails), expected)


@pytest.mark.parametrize("batch", [(), (T,), (B, T)])
def test_adaptive_probabilities_sum_to_one(batch):
    _, ours = torchs_and_ours(37, [3, 8, 21], 1.5)
    log_p = ours.log_prob(10 * torch.randn(*batch, C).double())
    assert log_p.shape == (*batch, 37)
    torch.testing.assert_close(log_p.exp().sum(-1), torch.ones(batch).double(), **DOUBLE)


def test_clusters_stand_behind_the_frequent_tokens_in_their_order():
    # Cluster 0 takes all: the second of the last two rows of the head is cluster 1's.
    head = torch.tensor([[0.0], [50.0], [0.0]])
    tails = [(torch.ones(1, 1), torch.zeros(2, 1)), (torch.ones(1, 1), torch.zeros(3, 1))]
    p = adaptive_log_prob(torch.ones(1), head, tails).exp()
    torch.testing.assert_close(p, torch.tensor([0.0, 0.5, 0.5, 0.0, 0.0, 0.0]), **SINGLE)


def test_no_tail_is_the_plain_softmax():
    hidden, head = torch.randn(B, T, C), torch.randn(V, C)
    expected = F.log_softmax(F.linear(hidden, head), dim=-1)
    torch.testing.assert_close(adaptive_log_prob(hidden, head, []), expected, **SINGLE)


@pytest.mark.parametrize("tails", [2, 3])
def test_head_without_a_row_for_a_frequent_token_is_refused(tails):
    tail = (torch.ones(2, C), torch.ones(3, 2))
    assert adaptive_log_prob(torch.ones(C), torch.ones(2, C), [tail]).shape == (4,)
    with pytest.raises(ValueError, match=f"{tails} tails leave no token to a head of 2 rows"):
        adaptive_log_prob(torch.ones(C), torch.ones(2, C), [tail] * tails)


def test_cluster_that_no_target_needs_is_not_computed():
    _, ours = torchs_and_ours(37, [3, 8, 21], 1.5)
    rows: list[tuple[int, int]] = []
    for i, tail in enumerate(ours.tail):
        tail.register_forward_hook(lambda m, x, y, i=i: rows.append((i, len(y))))
    ours(torch.randn(5, C).double(), torch.tensor([0, 22, 2, 9, 36]))
    assert [(i, n) for i, n in rows if n] == [(1, 1), (2, 2)]


def test_every_parameter_of_the_clusters_is_found_by_an_optimiser():
    ours = AdaptiveSoftmax(C, 37, [3, 8, 21], 2.0)
    torchs = nn.AdaptiveLogSoftmaxWithLoss(C, 37, [3, 8, 21], 2.0)
    assert {n: p.shape for n, p in ours.named_parameters()} == {
        n: p.shape for n, p in torchs.named_parameters()
    }


@pytest.mark.parametrize("target", [-1, 37])
def test_target_that_is_no_token_is_refused(target):
    ours = AdaptiveSoftmax(C, 37, [3, 8])
    assert ours(torch.randn(1, C), torch.tensor([36])).output.shape == (1,)
    with pytest.raises(ValueError, match=f"target {target} is none of 37 tokens"):
        ours(torch.randn(2, C), torch.tensor([3, target]))


@pytest.mark.parametrize("cutoffs", [[0, 5], [5, 5], [8, 3], [5, 37]])
def test_cutoffs_that_do_not_grow_are_refused(cutoffs):
    assert AdaptiveSoftmax(C, 37, [1, 5, 36], 2.0).cutoffs == [1, 5, 36, 37]
    with pytest.raises(ValueError, match=re.escape(f"cutoffs {cutoffs} must grow")):
        AdaptiveSoftmax(C, 37, cutoffs, 2.0)
