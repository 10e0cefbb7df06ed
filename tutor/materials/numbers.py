"""Number words in English, German and French: the task that chapters 1 to 7 share.

The words come from the package num2words: real language with real reordering (21 is *twenty-one*,
*einundzwanzig*, *vingt et un*). They are cut into morphemes by a fixed vocabulary, so that a number
below one million is at most thirteen symbols long. A tenth of all numbers is held out for testing.
The second, harder task has the same words for numbers below 10^12, of up to 25 symbols.

B batch, S symbols of a source, T symbols of a target.
"""

import re
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache

import torch
from jaxtyping import Int
from num2words import num2words
from torch import Generator, Tensor

__all__ = [
    "END",
    "LARGE_LIMIT",
    "LARGE_VOCABULARY",
    "LIMIT",
    "PAD",
    "START",
    "VOCABULARY",
    "Pairs",
    "decode",
    "draw_numbers",
    "encode",
    "held_out",
    "morphemes",
    "pairs",
    "split",
    "words",
]

LIMIT = 1_000_000
"""Numbers are below this."""

LARGE_LIMIT = 10**12
"""Numbers of the second task are below this."""

_UNITS = {
    "en": "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen "
    "fifteen sixteen seventeen eighteen nineteen",
    "de": "null ein eins zwei drei vier fünf sechs sieben acht neun zehn elf zwölf dreizehn "
    "vierzehn fünfzehn sechzehn siebzehn achtzehn neunzehn",
    "fr": "zéro un deux trois quatre cinq six sept huit neuf dix onze douze treize quatorze quinze "
    "seize",
}
_TENS = {
    "en": "twenty thirty forty fifty sixty seventy eighty ninety",
    "de": "zwanzig dreißig vierzig fünfzig sechzig siebzig achtzig neunzig",
    "fr": "vingt vingts trente quarante cinquante soixante",
}
_REST = {"en": "hundred thousand and", "de": "hundert tausend und", "fr": "cent cents mille et"}
_LARGE = {
    "en": "million billion",
    "de": "eine Million Millionen Milliarde Milliarden",
    "fr": "million millions milliard milliards",
}

MORPHEMES: dict[str, tuple[str, ...]] = {
    language: tuple(" ".join(part[language] for part in (_UNITS, _TENS, _REST)).split())
    for language in ("en", "de", "fr")
}
"""What the words of a language are made of."""

LARGE_MORPHEMES = {
    language: (*all_, *_LARGE[language].split()) for language, all_ in MORPHEMES.items()
}
"""The same with those of numbers from one million on, which stand at the end."""

PAD, END = 0, 1
START = {"de": 2, "fr": 3}
"""The symbol that a target begins with says into which language to translate."""

VOCABULARY: tuple[str, ...] = (
    *("<pad>", "<end>", "<de>", "<fr>"),
    *(f"{language}:{morpheme}" for language, all_ in MORPHEMES.items() for morpheme in all_),
)
"""Every symbol. The same letters in two languages (*six*) are two symbols."""

LARGE_VOCABULARY: tuple[str, ...] = (
    *VOCABULARY,
    *(f"{language}:{morpheme}" for language, some in _LARGE.items() for morpheme in some.split()),
)
"""Those of the second task. Every symbol of the first has the same index in both."""

_NUMBER_OF = {symbol: i for i, symbol in enumerate(LARGE_VOCABULARY)}
# Longest first, so that *sechzehn* is not *sechs* and what follows.
_PATTERN = {
    language: re.compile("|".join(sorted(all_, key=len, reverse=True)))
    for language, all_ in LARGE_MORPHEMES.items()
}


def words(number: int, language: str, limit: int = LIMIT) -> str:
    """The number in words, as num2words has it but for the commas of English.

    ValueError for a number that is negative or not below ``limit``, and for a language other
    than en, de and fr.
    """
    if not 0 <= number < limit:
        raise ValueError(f"numbers are from 0 to {limit - 1:,}, got {number}")
    if language not in MORPHEMES:
        raise ValueError(f"languages are {', '.join(MORPHEMES)}, got {language!r}")
    return num2words(number, lang=language).replace(",", "")


@cache
def morphemes(number: int, language: str, limit: int = LIMIT) -> tuple[str, ...]:
    """The number's words, cut into morphemes: 21 is (ein, und, zwanzig) in German."""
    return tuple(_PATTERN[language].findall(words(number, language, limit)))


def encode(number: int, language: str, limit: int = LIMIT) -> list[int]:
    """Its morphemes as indices into VOCABULARY, or into LARGE_VOCABULARY."""
    return [_NUMBER_OF[f"{language}:{m}"] for m in morphemes(number, language, limit)]


def decode(symbols: Iterable[int]) -> tuple[str, ...]:
    """The symbols before the first END, without their language; PAD and START say their names."""
    read = []
    for symbol in symbols:
        if symbol == END:
            break
        read.append(LARGE_VOCABULARY[symbol].rpartition(":")[2])
    return tuple(read)


def held_out(number: int) -> bool:
    """Whether the number is for testing only. A tenth is, spread as if by lot."""
    return zlib.crc32(str(number).encode()) % 10 == 0


def draw_numbers(
    count: int, generator: Generator, testing: bool = False, limit: int = LIMIT
) -> list[int]:
    """Different numbers by lot below a power of ten from 1,000 on: as many of six digits as of
    five, of four, and of fewer than four.

    All held out if testing, and otherwise none. ValueError for more than 20,000: of the short ones
    there are not enough.
    """
    if count > 20_000:
        raise ValueError(f"at most 20,000 numbers are drawn, got {count:,}")
    drawn: dict[int, None] = {}
    bounds = torch.tensor([0, *(10**digits for digits in range(3, len(str(limit))))])
    while True:
        part = torch.randint(0, len(bounds) - 1, (4 * count,), generator=generator)
        low, high = bounds[part], bounds[part + 1]
        at = torch.rand(4 * count, generator=generator, dtype=torch.float64)
        for n in (low + (at * (high - low)).long()).tolist():
            if held_out(n) == testing:
                drawn[n] = None
            if len(drawn) == count:
                return list(drawn)


@dataclass(frozen=True)
class Pairs:
    """Sources and what they are translated into, padded with PAD at the end."""

    numbers: tuple[int, ...]
    source: Int[Tensor, "B S"]
    lengths: Int[Tensor, " B"]
    """Of the sources."""
    target: Int[Tensor, "B T"]
    """Begins with the language's START and ends with END."""

    def __len__(self) -> int:
        return len(self.lengths)

    def batches(self, size: int, generator: Generator) -> Iterator["Pairs"]:
        """Batches of ``size`` without end, in a new order each time round; what is left over of a
        round is dropped."""
        while True:
            order = torch.randperm(len(self), generator=generator)
            for rows in order.split(size):
                if len(rows) == min(size, len(self)):
                    yield self[rows]

    def __getitem__(self, rows: Int[Tensor, " b"]) -> "Pairs":
        """Some of them, no wider than they need to be."""
        source, lengths, target = self.source[rows], self.lengths[rows], self.target[rows]
        width = int((target != PAD).sum(-1).max())
        numbers = tuple(self.numbers[i] for i in rows.tolist())
        return Pairs(numbers, source[:, : lengths.max()], lengths, target[:, :width])


def pairs(
    numbers: Sequence[int], languages: Sequence[str] = ("de", "fr"), limit: int = LIMIT
) -> Pairs:
    """English to each of the languages, for each of the numbers."""
    rows = [(n, language) for language in languages for n in numbers]
    source = [torch.tensor(encode(n, "en", limit)) for n, _ in rows]
    target = [torch.tensor([START[to], *encode(n, to, limit), END]) for n, to in rows]
    padded = (torch.nn.utils.rnn.pad_sequence(x, True, PAD) for x in (source, target))
    lengths = torch.tensor([len(s) for s in source])
    return Pairs(tuple(n for n, _ in rows), next(padded), lengths, next(padded))


@cache
def split(limit: int = LIMIT) -> tuple[Pairs, Pairs]:
    """What every translator of the book learns from, and what it is tested on: 10,000 pairs of
    5,000 numbers, and 3,000 pairs of 1,500 held-out ones. ``limit``: LIMIT or LARGE_LIMIT."""
    generator = Generator().manual_seed(1)
    learning = draw_numbers(5_000, generator, limit=limit)
    testing = draw_numbers(1_500, generator, testing=True, limit=limit)
    return pairs(learning, limit=limit), pairs(testing, limit=limit)
