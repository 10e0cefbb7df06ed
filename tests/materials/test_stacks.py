"""Stacks differ by the part that is taken out, and by nothing else."""

import pytest
import torch
from torch import nn

from tutor.materials.numbers import VOCABULARY, pairs
from tutor.materials.stacks import KINDS, stack


def made(kind, num_layers=4):
    torch.manual_seed(0)
    return stack(kind, num_layers, len(VOCABULARY))


@pytest.mark.parametrize("kind", KINDS)
def test_first_parameters_are_the_same_whatever_is_taken_out(kind):
    whole, without = made("pre-norm").state_dict(), made(kind).state_dict()
    assert all(torch.equal(whole[name], t) for name, t in without.items())
    assert {n for n in whole if "norm" not in n} <= set(without)


@pytest.mark.parametrize("kind", KINDS)
def test_half_of_the_layers_read_and_half_write(kind):
    model = made(kind, 6)
    assert len(model.encoder.layers) == len(model.transformer.decoder.layers) == 3


def test_without_norm_there_is_none():
    assert not any(isinstance(m, nn.LayerNorm) for m in made("no norm").modules())
    assert any(isinstance(m, nn.LayerNorm) for m in made("no residual").modules())


def test_without_residual_nothing_passes_a_sublayer_that_gives_nothing():
    few = pairs([21, 342], ["de"])
    for kind, passes in (("pre-norm", True), ("no residual", False)):
        model = made(kind)
        layer = model.encoder.layers[0]
        with torch.no_grad():
            layer.linear2.weight.zero_()
            layer.linear2.bias.zero_()
            assert bool(layer(model.embed(few.source)).any()) == passes


def test_unknown_kind_and_odd_number_are_refused():
    assert stack("pre-norm", 2, 5)
    with pytest.raises(ValueError, match="kinds are pre-norm"):
        stack("middle-norm", 2, 5)
    with pytest.raises(ValueError, match="3 is odd"):
        stack("pre-norm", 3, 5)
