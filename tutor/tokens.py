"""Chapter 6, tokens: what is a word to a transformer?

A text is cut into pieces, each of them bytes, and whatever follows sees pieces alone: no token
reaches across a cut. The ids of byte-pair encoding tell how they were made: 0 to 255 are the bytes
themselves, and 256 + k is what merge k makes of two ids that are smaller.

B batch, T time, C model width, V vocabulary; N places in any order.
"""

import heapq
import math
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple

import regex
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

__all__ = [
    "AdaptiveOutput",
    "AdaptiveSoftmax",
    "TiedEmbedding",
    "adaptive_log_prob",
    "bpe_decode",
    "bpe_encode",
    "bpe_tokens",
    "split_pieces",
    "tied_logits",
    "train_bpe",
    "unigram_segment",
]

NUM_BYTES = 256
UNKNOWN_PENALTY = 10.0
"""By how much an unknown character is less likely than the least likely piece, in nats."""

# White_Space and not \s: for `regex`, \s has the control characters 1C to 1F, too.
_PIECE = regex.compile(
    r"'(?:[sdmt]|ll|ve|re)"
    r"| ?\p{L}+| ?\p{N}+| ?[^\p{White_Space}\p{L}\p{N}]+"
    r"|\p{White_Space}+(?!\P{White_Space})|\p{White_Space}+"
)


def split_pieces(text: str | bytes, digits_apart: bool = False) -> list[bytes]:
    """GPT-2's pieces of a text: Radford et al. 2019. Joined, they are its UTF-8 again.

    A piece is letters, digits or other signs, with the one space before them, an English ending
    such as 's, or white space. Bytes that are no UTF-8 count as signs. digits_apart: every digit
    is a piece of its own, without a space, as in SmolLM2.
    UnicodeEncodeError for a str that has no UTF-8.
    """
    if isinstance(text, bytes):
        text = text.decode("utf-8", errors="surrogateescape")
    parts = regex.split(r"(\p{N})", text) if digits_apart else [text]
    found = [piece for part in parts for piece in _PIECE.findall(part)]
    return [piece.encode("utf-8", errors="surrogateescape") for piece in found]


def train_bpe(pieces: Mapping[bytes, int], num_merges: int) -> list[tuple[int, int]]:
    """The merges of byte-pair encoding, in order: Sennrich et al. 2016, arXiv:1508.07909.

    pieces: how often each occurs, as in ``Counter(split_pieces(text))``. Each merge replaces the
    pair of neighbours that is most frequent in all pieces; of those equally frequent, the one with
    the smallest ids. Fewer than num_merges where no pair is left.
    Every pair in ``pieces`` is counted once; a merge then visits its own places and their
    neighbours alone.
    ValueError for a negative num_merges.
    """
    if num_merges < 0:
        raise ValueError(f"num_merges ({num_merges}) must not be negative")
    words = [list(piece) for piece in pieces]
    counts = list(pieces.values())
    frequency: Counter[tuple[int, int]] = Counter()
    places: defaultdict[tuple[int, int], set[int]] = defaultdict(set)

    def come(pair: tuple[int, int], word: int) -> None:
        frequency[pair] += counts[word]
        places[pair].add(word)

    def go(pair: tuple[int, int], word: int) -> None:
        frequency[pair] -= counts[word]  # its place stays: the word may have the pair once more

    for word, ids in enumerate(words):
        for pair in pairwise(ids):
            come(pair, word)
    heap = [(-n, pair) for pair, n in frequency.items()]
    heapq.heapify(heap)
    merges: list[tuple[int, int]] = []
    while heap and len(merges) < num_merges:
        told, pair = heapq.heappop(heap)
        if frequency[pair] <= 0:
            continue
        # Only pairs with the newest id become more frequent. Of all others the heap may say too
        # much, never too little: so a pair is put right when its turn comes.
        if -told != frequency[pair]:
            heapq.heappush(heap, (-frequency[pair], pair))
            continue
        left, right = pair
        made = NUM_BYTES + len(merges)
        merges.append(pair)
        fresh: set[tuple[int, int]] = set()
        for word in places.pop(pair):
            ids, place = words[word], 0
            while place < len(ids) - 1:
                if ids[place] == left and ids[place + 1] == right:
                    ids[place : place + 2] = [made]
                    go(pair, word)
                    if place > 0:
                        go((ids[place - 1], left), word)
                        come((ids[place - 1], made), word)
                        fresh.add((ids[place - 1], made))
                    if place < len(ids) - 1:
                        go((right, ids[place + 1]), word)
                        come((made, ids[place + 1]), word)
                        fresh.add((made, ids[place + 1]))
                place += 1
        for neighbours in fresh:
            heapq.heappush(heap, (-frequency[neighbours], neighbours))
    return merges


def bpe_encode(
    text: str | bytes,
    merges: Sequence[tuple[int, int]],
    special: Sequence[str] = (),
    split: Callable[[str | bytes], list[bytes]] = split_pieces,
) -> list[int]:
    """The ids of a text: in every piece the earliest merge that fits, until none does.

    Sennrich et al. 2016, on bytes: Radford et al. 2019. One merge replaces all its pairs in a
    piece, from left to right.
    special: tokens that are cut out of the text before anything else, from left to right, the
    longest where several begin; number j has the id 256 + len(merges) + j.
    ValueError for an empty special token, errors of the text as in ``split_pieces``.
    """
    if "" in special:
        raise ValueError(f"a special token is empty: {list(special)}")
    ranks = {pair: rank for rank, pair in enumerate(merges)}
    numbers = {token.encode(): NUM_BYTES + len(merges) + j for j, token in enumerate(special)}
    known: dict[bytes, list[int]] = {}  # a word that occurs again is not merged again
    ids: list[int] = []
    if isinstance(text, str):
        text = text.encode("utf-8", errors="surrogateescape")
    for part in _cut(text, numbers):
        if part in numbers:
            ids.append(numbers[part])
            continue
        for piece in split(part):
            if piece not in known:
                known[piece] = _encode_piece(piece, ranks)
            ids += known[piece]
    return ids


def bpe_tokens(merges: Sequence[tuple[int, int]], special: Sequence[str] = ()) -> list[bytes]:
    """The bytes of every id: 256 single ones, those of the merges, those of the special tokens.

    ValueError for a merge of an id that is not made yet.
    """
    tokens = [bytes([b]) for b in range(NUM_BYTES)]
    for left, right in merges:
        if not (0 <= left < len(tokens) and 0 <= right < len(tokens)):
            raise ValueError(f"merge {(left, right)} comes when there are {len(tokens)} ids")
        tokens.append(tokens[left] + tokens[right])
    return tokens + [token.encode() for token in special]


def bpe_decode(
    ids: Sequence[int], merges: Sequence[tuple[int, int]], special: Sequence[str] = ()
) -> bytes:
    """The bytes that the ids stand for, one after another; merges and special as in ``bpe_encode``.

    Bytes and no text, since a token may end within a character: whoever has all ids of a text, or
    can live with replacement characters, decodes them.
    ValueError for an id that is not in the vocabulary.
    """
    tokens = bpe_tokens(merges, special)
    for i in ids:
        if not 0 <= i < len(tokens):
            raise ValueError(f"id {i} is not in the vocabulary of {len(tokens)}")
    return b"".join(tokens[i] for i in ids)


def unigram_segment(text: str, log_probs: Mapping[str, float]) -> list[str]:
    """The pieces that make up ``text`` with the largest sum of log-probabilities, by Viterbi.

    Kudo 2018, arXiv:1804.10959. log_probs: of every known piece, in nats. A character that is no
    piece stands alone at ``UNKNOWN_PENALTY`` below the least likely one; such neighbours are
    returned as one piece. Of equally likely segmentations of a beginning of the text the one with
    the longest last piece.
    ValueError if no piece is known.
    """
    if not log_probs:
        raise ValueError("log_probs is empty: there is no piece to segment with")
    longest = max(1, *map(len, log_probs))
    unknown = min(log_probs.values()) - UNKNOWN_PENALTY
    best, begins = [0.0], [0]  # of text[:end], at place end
    for end in range(1, len(text) + 1):
        ways = []
        for start in range(max(0, end - longest), end):
            score = log_probs.get(text[start:end], unknown if start == end - 1 else None)
            if score is not None:
                ways.append((best[start] + score, start))
        score, start = max(ways, key=lambda way: way[0])  # the first of equal ones: the longest
        best.append(score)
        begins.append(start)
    pieces: list[str] = []
    end, joins = len(text), False  # joins: the piece to the right is unknown, too
    while end:
        piece = text[begins[end] : end]
        if piece not in log_probs and joins:
            pieces[-1] = piece + pieces[-1]
        else:
            pieces.append(piece)
        end, joins = begins[end], piece not in log_probs
    return pieces[::-1]


def tied_logits(
    hidden: Float[Tensor, "*batch C"], embedding: Float[Tensor, "V C"]
) -> Float[Tensor, "*batch V"]:
    """logits = hidden Eᵀ: the matrix that reads tokens also scores them, without a bias.

    Press and Wolf 2017, arXiv:1608.05859. Row i of the embedding is token i's.
    """
    return hidden @ embedding.mT


class TiedEmbedding(nn.Module):
    """One matrix at both ends of a model, its parameter named as in ``nn.Embedding``.

    A row has length 1 on average: so logits of a normalised ``hidden`` begin with variance 1. Who
    adds positions of size 1 to the rows multiplies them with √C first (Vaswani et al. 2017,
    section 3.4, arXiv:1706.03762).
    """

    def __init__(self, num_embeddings: int, embedding_dim: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(num_embeddings, embedding_dim))
        nn.init.normal_(self.weight, std=embedding_dim**-0.5)

    def forward(self, ids: Int[Tensor, "*batch"]) -> Float[Tensor, "*batch C"]:
        return F.embedding(ids, self.weight)

    def logits(self, hidden: Float[Tensor, "*batch C"]) -> Float[Tensor, "*batch V"]:
        return tied_logits(hidden, self.weight)


def adaptive_log_prob(
    hidden: Float[Tensor, "*batch C"],
    head: Float[Tensor, "H C"],
    tails: Sequence[tuple[Float[Tensor, "_ C"], Float[Tensor, "_ _"]]],
) -> Float[Tensor, "*batch V"]:
    """log p(token) = log p(its cluster) + log p(token | its cluster), for every token.

    Grave et al. 2017, arXiv:1609.04309. The head scores the frequent tokens, and behind them each
    cluster, in order: its last len(tails) rows. tails[i] = (down, up) of shapes (D_i, C) and
    (size_i, D_i) scores the tokens of cluster i, in order, by up (down hidden).
    ValueError for a head without a row for a frequent token.
    """
    frequent = len(head) - len(tails)
    if frequent < 1:
        raise ValueError(f"{len(tails)} tails leave no token to a head of {len(head)} rows")
    scores = (hidden @ head.mT).log_softmax(dim=-1)
    parts = [scores[..., :frequent]]
    for i, (down, up) in enumerate(tails):
        within = (hidden @ down.mT @ up.mT).log_softmax(dim=-1)
        parts.append(scores[..., frequent + i, None] + within)
    return torch.cat(parts, dim=-1)


class AdaptiveOutput(NamedTuple):
    """What a forward pass of ``AdaptiveSoftmax`` gives."""

    output: Float[Tensor, " N"]
    """log p(target) of each place."""
    loss: Float[Tensor, ""]
    """Its negative mean, in nats."""


class AdaptiveSoftmax(nn.Module):
    """A softmax whose rare tokens cost little; loads ``nn.AdaptiveLogSoftmaxWithLoss``'s weights.

    Grave et al. 2017, arXiv:1609.04309. Tokens below cutoffs[0] stand in the head, those from
    cutoffs[i] up to cutoffs[i + 1] (the last one up to n_classes) in cluster i, which works in
    in_features / div_value^(i + 1) features. So token ids must be sorted by frequency.
    ValueError unless 0 < cutoffs[0] < cutoffs[1] < ... < n_classes.
    """

    def __init__(
        self, in_features: int, n_classes: int, cutoffs: Sequence[int], div_value: float = 4.0
    ) -> None:
        super().__init__()
        self.cutoffs = [*cutoffs, n_classes]
        if any(a >= b for a, b in pairwise([0, *self.cutoffs])):
            raise ValueError(f"cutoffs {list(cutoffs)} must grow from above 0 to below {n_classes}")
        self.head = nn.Linear(in_features, self.cutoffs[0] + len(cutoffs), bias=False)
        self.tail = nn.ModuleList()  # no plain list: the optimiser has to find them
        for i, (begin, end) in enumerate(pairwise(self.cutoffs)):
            width = int(in_features // div_value ** (i + 1))
            down = nn.Linear(in_features, width, bias=False)
            self.tail.append(nn.Sequential(down, nn.Linear(width, end - begin, bias=False)))

    def forward(self, hidden: Float[Tensor, "N C"], target: Int[Tensor, " N"]) -> AdaptiveOutput:
        """A cluster is computed for the places alone whose target it holds.

        ValueError for a target that is no token.
        """
        outside = target[(target < 0) | (target >= self.cutoffs[-1])]
        if len(outside):
            raise ValueError(f"target {int(outside[0])} is none of {self.cutoffs[-1]} tokens")
        scores = self.head(hidden).log_softmax(dim=-1)
        # Its row of the head: its own, or that of its cluster.
        bounds = torch.tensor(self.cutoffs[:-1], device=target.device)
        cluster = torch.bucketize(target, bounds, right=True) - 1  # -1: in the head
        row = torch.where(cluster < 0, target, self.cutoffs[0] + cluster)
        output = scores.gather(1, row[:, None])[:, 0]
        for i, tail in enumerate(self.tail):
            (places,) = torch.where(cluster == i)
            within = tail(hidden[places]).log_softmax(dim=-1)
            number = target[places] - self.cutoffs[i]
            output = output.index_add(0, places, within.gather(1, number[:, None])[:, 0])
        return AdaptiveOutput(output, -output.mean())

    def log_prob(self, hidden: Float[Tensor, "*batch C"]) -> Float[Tensor, "*batch V"]:
        """log p of every token."""
        tails = [(down.weight, up.weight) for down, up in self.tail]
        return adaptive_log_prob(hidden, self.head.weight, tails)


def _merged(ids: list[int], pair: tuple[int, int], made: int) -> list[int]:
    """``ids`` with ``made`` for each ``pair``, from left to right: of a a a, the first two."""
    out: list[int] = []
    place = 0
    while place < len(ids):
        if place + 1 < len(ids) and ids[place] == pair[0] and ids[place + 1] == pair[1]:
            out.append(made)
            place += 2
        else:
            out.append(ids[place])
            place += 1
    return out


def _encode_piece(piece: bytes, ranks: Mapping[tuple[int, int], int]) -> list[int]:
    ids = list(piece)
    while len(ids) > 1:
        pair = min(pairwise(ids), key=lambda p: ranks.get(p, math.inf))
        if pair not in ranks:
            break
        ids = _merged(ids, pair, NUM_BYTES + ranks[pair])
    return ids


def _cut(text: bytes, special: Mapping[bytes, int]) -> list[bytes]:
    """``text`` in parts, each a special token or without any."""
    if not special:
        return [text]
    longest_first = sorted(special, key=len, reverse=True)
    return regex.split(b"(" + b"|".join(map(regex.escape, longest_first)) + b")", text)
