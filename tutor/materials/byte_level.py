"""Hugging Face's byte-level tokenizers in our numbers.

There a byte is shown as a character, and the characters have the first ids, in their own order: '!'
comes first and the space is number 220 (Radford et al. 2019). Here a byte is its own id.
"""

import json
from typing import NamedTuple

from tokenizers import Tokenizer

__all__ = ["GPT2_BYTES", "BytePairs", "byte_pairs"]

_NUM_BYTES = 256
_PRINTED = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), 256)]
GPT2_BYTES = bytes(_PRINTED + [b for b in range(_NUM_BYTES) if b not in _PRINTED])
"""The byte that has the id i in GPT-2's vocabulary, at place i: those that print come first."""


class BytePairs(NamedTuple):
    """A vocabulary as chapter 6's functions take it."""

    merges: list[tuple[int, int]]
    special: list[str]
    numbers: list[int | None]
    """The tokenizer's id for each of ours: 256 bytes, the merges, the special tokens. None for a
    byte that it does not have."""


def byte_pairs(tokenizer: Tokenizer) -> BytePairs:
    """The merges and the special tokens of a byte-level BPE tokenizer, and its numbers for them.

    ``[numbers[i] for i in bpe_encode(text, merges, special)]`` are its ids of a text, where it
    cuts texts as ``split_pieces`` does.
    """
    told = json.loads(tokenizer.to_str())
    vocab, special = told["model"]["vocab"], [token["content"] for token in told["added_tokens"]]
    # What does not print is shown by the characters from 256 on.
    unprinted = range(_NUM_BYTES, 2 * _NUM_BYTES - len(_PRINTED))
    shown = [chr(n) for n in (*_PRINTED, *unprinted)]
    ours = dict(zip(shown, GPT2_BYTES, strict=True))
    numbers = [vocab.get(character) for character in sorted(shown, key=ours.__getitem__)]
    merges = []
    for left, right in told["model"]["merges"]:
        merges.append((ours[left], ours[right]))
        ours[left + right] = len(numbers)
        numbers.append(vocab[left + right])
    return BytePairs(merges, special, numbers + [tokenizer.token_to_id(t) for t in special])
