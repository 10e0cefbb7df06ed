"""Training and testing a translator, with translators whose answers are known."""

import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from tutor.attention import AttentionHead, ParallelSeq2Seq
from tutor.materials.numbers import END, PAD, START, VOCABULARY, encode, pairs
from tutor.materials.translator import (
    exact_match,
    exact_match_by_length,
    parameter_count,
    steps_of_waiting,
    train,
    translate,
)
from tutor.recurrence import Seq2Seq

SIZE = len(VOCABULARY)


class Table(nn.Module):
    """Translates by rote: for a source, a list of symbols whatever was said so far."""

    def __init__(self, answers):
        super().__init__()
        self.answers = answers

    def forward(self, source, lengths, target):
        rows = []
        for symbols, length, said in zip(source, lengths, target, strict=True):
            key = (int(said[0]), *symbols[:length].tolist())
            answer = [*self.answers[key], *[END] * target.shape[1]][: target.shape[1]]
            rows.append(F.one_hot(torch.tensor(answer), SIZE).float())
        return torch.stack(rows)


def rote(numbers, wrong=()):
    answers = {}
    for to, start in START.items():
        for n in numbers:
            said = encode(n, to)
            if (n, to) in wrong:
                said = said[:-1]
            answers[start, *encode(n, "en")] = said
    return Table(answers)


NUMBERS = [7, 21, 116, 342_506]


def test_translation_ends_where_it_says_so_and_is_padded():
    data = pairs(NUMBERS)
    said = translate(rote(NUMBERS), data)
    for row, wanted in zip(said, data.target[:, 1:], strict=True):
        assert row[: len(wanted)].tolist() == wanted.tolist()
        assert not row[len(wanted) :].any()


def test_translator_without_an_end_is_stopped():
    class Endless(nn.Module):
        def forward(self, source, lengths, target):
            return F.one_hot(torch.full(target.shape, 7), SIZE).float()

    data = pairs(NUMBERS)
    assert translate(Endless(), data, longest=6).tolist() == [[7] * 6] * len(data)
    assert not exact_match(Endless(), data).any()


def test_exact_match_counts_whole_translations_only():
    data = pairs(NUMBERS)
    assert exact_match(rote(NUMBERS), data).all()
    wrong = exact_match(rote(NUMBERS, wrong=[(21, "de"), (116, "fr")]), data)
    assert (~wrong).nonzero().flatten().tolist() == [1, 6]


def test_symbol_that_follows_the_right_ones_is_a_fault():
    class TooLong(Table):
        def forward(self, source, lengths, target):
            logits = super().forward(source, lengths, target)
            return logits + 2 * F.one_hot(torch.tensor(9), SIZE) * (logits[..., END:][..., :1] > 0)

    assert not exact_match(TooLong(rote(NUMBERS).answers), pairs(NUMBERS)).any()


def test_shares_are_by_language_and_length_and_leave_out_what_is_rare():
    data = pairs(NUMBERS)
    model = rote(NUMBERS, wrong=[(21, "de")])
    lengths = {len(encode(n, "en")): n for n in NUMBERS}
    shares = exact_match_by_length(model, data, at_least=1)
    assert shares["fr"] == dict.fromkeys(lengths, 1.0)
    assert shares["de"] == {n: float(number != 21) for n, number in lengths.items()}
    assert exact_match_by_length(model, data) == {}


def test_training_lowers_the_loss_and_is_the_same_with_the_same_seed():
    def run(seed):
        torch.manual_seed(0)
        model = Seq2Seq(SIZE, 16, 8)
        losses = train(model, pairs(range(40)), 120, seed=seed, batch_size=16)
        assert not model.training
        return losses

    losses = run(0)
    assert abs(losses[0] - math.log(SIZE)) < 0.5  # knows nothing yet
    assert losses[-1] < losses[0] - 1.5
    assert losses == run(0) != run(1)


def test_padding_is_no_part_of_the_loss():
    """A model that is right at every real symbol and wrong at the padding has no loss."""
    data = pairs(NUMBERS)

    class Right(nn.Module):
        def __init__(self):
            super().__init__()
            self.scale = nn.Parameter(torch.tensor(100.0))

        def forward(self, source, lengths, target):
            answers = rote(NUMBERS)(source, lengths, target)
            hidden = torch.ones_like(target).cumsum(-1) > (target != PAD).sum(-1, keepdim=True)
            return torch.where(hidden[..., None], answers.flip(-1), answers) * self.scale

    assert max(train(Right(), data, 2, batch_size=4)) < 1e-6


def test_parameters_are_counted_once():
    model = nn.Sequential(nn.Linear(3, 5), nn.Linear(5, 3))
    model.append(model[0])
    assert parameter_count(model) == 3 * 5 + 5 + 5 * 3 + 3


@pytest.mark.parametrize("width", [31])
def test_odd_width_is_refused(width):
    Seq2Seq(SIZE, width + 1)
    with pytest.raises(ValueError, match="width must be even, for two directions, got 31"):
        Seq2Seq(SIZE, width)


def test_long_translation_is_compared_to_its_end():
    numbers = [777_777_777_777]  # 23 symbols of French and more are written
    data = pairs(numbers, limit=10**12)
    assert data.target.shape[1] > 22

    class Rote(nn.Module):
        def forward(self, source, lengths, target):
            return F.one_hot(data.target[:, 1 : target.shape[1] + 1], 105).float()

    assert exact_match(Rote(), data).all()


def test_recurrent_encoder_waits_for_every_symbol_and_attention_once():
    data = pairs(NUMBERS)
    recurrent = Seq2Seq(SIZE, 6, 4)
    parallel = ParallelSeq2Seq(SIZE, 6, AttentionHead(6), AttentionHead(6), embedding_width=4)
    assert steps_of_waiting(recurrent, data) == data.source.shape[1] == 10
    assert steps_of_waiting(parallel, data) == 1
    assert not recurrent.encoder._forward_pre_hooks
