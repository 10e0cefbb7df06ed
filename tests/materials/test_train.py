"""Training the Transformer: its batches, its rate, and that it goes on where it was stopped."""

import signal
import subprocess
import sys
from dataclasses import replace

import pytest
import torch
from torch import Generator
from torch.nn import functional as F

from tutor import ROOT
from tutor.materials import train as module
from tutor.materials.numbers import END, LARGE_LIMIT, LARGE_VOCABULARY, PAD, START, held_out, pairs
from tutor.materials.train import (
    LARGE,
    POOL,
    Recipe,
    bucketed,
    build,
    data_of,
    exact,
    learning_rate,
    load,
    main,
    train,
    translations,
)
from tutor.materials.translator import exact_match
from tutor.transformer import label_smoothing_loss, warmup_rate

# Few steps of few sentences, and dropout: random numbers must go on as well.
SMALL = Recipe(
    steps=9, batch_size=16, width=16, num_heads=2, hidden_width=24, num_layers=1, dropout=0.2
)


class Stop(Exception):
    pass


def stopping_at(step):
    def watch(now, loss):
        if now == step:
            raise Stop

    return watch


def same_models(one, other):
    mine, theirs = one.model.state_dict(), other.model.state_dict()
    return list(mine) == list(theirs) and all(torch.equal(mine[n], theirs[n]) for n in mine)


# Data and batches


@pytest.mark.parametrize(("pair", "language"), [("en-de", "de"), ("en-fr", "fr")])
def test_data_are_the_courses_of_one_language(pair, language):
    learning, testing = data_of(Recipe(pair=pair))
    assert (len(learning), len(testing)) == (5_000, 1_500)
    for data, testing_only in ((learning, False), (testing, True)):
        assert set(data.target[:, 0].tolist()) == {START[language]}
        assert {held_out(n) for n in data.numbers} == {testing_only}
        some = data[torch.arange(3)]
        assert torch.equal(some.target, pairs(some.numbers, [language]).target)


def test_large_numbers_are_more_and_none_is_held_out():
    learning, testing = data_of(Recipe(**LARGE))
    assert (len(learning), len(testing)) == (20_000, 1_500)
    assert len(set(learning.numbers)) == 20_000
    assert not any(held_out(n) for n in learning.numbers) and all(map(held_out, testing.numbers))
    assert max(learning.numbers) > 10**11 and set(learning.target[:, 0].tolist()) == {START["de"]}
    some = learning[torch.arange(3)]
    assert torch.equal(some.target, pairs(some.numbers, ["de"], LARGE_LIMIT).target)


LENGTHS = torch.randint(1, 14, (1_000,), generator=Generator().manual_seed(0))


def test_each_sentence_is_in_one_batch_of_a_round():
    batches = bucketed(LENGTHS, 16, Generator().manual_seed(1))
    rows = torch.cat(batches)
    assert {len(b) for b in batches} == {16} and len(batches) == 1_000 // 16
    assert len(rows.unique()) == len(rows)


def test_sentences_of_a_batch_are_of_about_one_length():
    def padding(batches):
        padded = sum(len(b) * int(LENGTHS[b].max()) for b in batches)
        return 1 - int(LENGTHS[torch.cat(list(batches))].sum()) / padded

    plain = torch.randperm(1_000, generator=Generator().manual_seed(1)).split(16)
    assert padding(bucketed(LENGTHS, 16, Generator().manual_seed(1))) < padding(plain) / 4


def test_short_and_long_batches_come_in_no_order():
    batches = bucketed(LENGTHS, 16, Generator().manual_seed(1))
    means = torch.stack([LENGTHS[b].double().mean() for b in batches])
    rises = (means[1:] > means[:-1]).double().mean()
    assert 0.3 < rises < 0.7 and len(batches) > POOL


def test_each_round_has_its_own_batches():
    first, again, other = (bucketed(LENGTHS, 16, Generator().manual_seed(n)) for n in (1, 1, 2))
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    company = {frozenset(b.tolist()) for b in first}
    assert not company & {frozenset(b.tolist()) for b in other}


# What is learned


def test_first_loss_is_that_of_the_next_symbols_smoothed():
    losses = train(replace(SMALL, dropout=0.0, steps=1)).losses
    learning, _ = data_of(SMALL)
    batch = learning[bucketed(learning.lengths, 16, Generator().manual_seed(0))[0]]
    logits = build(replace(SMALL, dropout=0.0))(batch.source, batch.lengths, batch.target)
    expected = label_smoothing_loss(logits[:, :-1], batch.target[:, 1:], 0.1, PAD)
    assert losses == [pytest.approx(expected.item(), abs=1e-6)]


def test_loss_falls():
    losses = train(replace(SMALL, steps=60, dropout=0.0, width=32)).losses
    assert losses[-1] < 0.75 * losses[0]


def test_rate_is_the_warmups_until_it_falls_to_nothing():
    recipe = Recipe(steps=800, warmup_steps=160)
    for step in (1, 160, 300, 401):
        assert learning_rate(step, recipe) == warmup_rate(step, recipe.width, 160)
    assert learning_rate(601, recipe) == pytest.approx(warmup_rate(601, 64, 160) / 2, rel=1e-12)
    assert learning_rate(800, recipe) == pytest.approx(warmup_rate(800, 64, 160) / 400, rel=1e-12)


def test_seed_decides_what_is_learned_and_nothing_else_does():
    torch.manual_seed(123)
    one = train(SMALL)
    torch.manual_seed(456)
    again, other = train(SMALL), train(replace(SMALL, seed=1))
    assert one.losses == again.losses and same_models(one, again)
    assert one.losses[0] != other.losses[0]


# Stopped and gone on


@pytest.mark.parametrize("stopped_at", [1, 4, 5, 8])
def test_training_that_was_stopped_goes_on_as_if_it_had_not_been(tmp_path, stopped_at):
    whole, path = train(SMALL), tmp_path / "model.pt"
    with pytest.raises(Stop):
        train(SMALL, path, every=4, watch=stopping_at(stopped_at))
    assert path.exists() == (stopped_at > 4)
    torch.manual_seed(99)
    steps = []
    resumed = train(SMALL, path, every=4, watch=lambda step, loss: steps.append(step))
    assert steps[0] == 1 + (stopped_at - 1) // 4 * 4
    assert resumed.losses == whole.losses and same_models(resumed, whole)


def test_round_through_the_data_goes_on_in_its_middle(tmp_path):
    # 5,000 pairs are two batches of 2,048 a round: steps 3 and 4 are the second round.
    recipe, path = replace(SMALL, batch_size=2_048, steps=4), tmp_path / "model.pt"
    whole = train(recipe)
    with pytest.raises(Stop):
        train(recipe, path, every=3, watch=stopping_at(4))
    assert train(recipe, path).losses == whole.losses


def test_killed_process_goes_on_as_if_it_had_not_been(tmp_path):
    """The process itself is killed, between two checkpoints, and another one goes on: this."""
    path = tmp_path / "model.pt"
    text = (
        "import os, signal, sys; from pathlib import Path\n"
        "from tutor.materials.train import Recipe, train\n"
        "kill = lambda step, loss: step == 7 and os.kill(os.getpid(), signal.SIGKILL)\n"
        f"train({SMALL!r}, Path(sys.argv[1]), every=3, watch=kill)\n"
    )
    killed = subprocess.run([sys.executable, "-c", text, path], cwd=ROOT, capture_output=True)
    assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()
    assert len(load(path).losses) == 6
    resumed, whole = train(SMALL, path), train(SMALL)
    assert resumed.losses == whole.losses and same_models(resumed, whole)


def test_training_that_is_done_is_not_done_again(tmp_path):
    path, steps = tmp_path / "model.pt", []
    done = train(SMALL, path)
    again = train(SMALL, path, watch=lambda step, loss: steps.append(step))
    assert not steps and again.losses == done.losses and same_models(again, done)


def test_checkpoint_before_is_left_where_writing_stops(tmp_path, monkeypatch):
    path, save, count = tmp_path / "model.pt", torch.save, []

    def broken(state, file):
        count.append(file)
        save(state, file)
        if len(count) == 2:
            raise Stop

    monkeypatch.setattr(torch, "save", broken)
    with pytest.raises(Stop):
        train(SMALL, path, every=3)
    assert len(load(path).losses) == 3


def test_loaded_model_is_the_trained_one_and_changes_no_random_numbers(tmp_path):
    path = tmp_path / "model.pt"
    trained = train(SMALL, path)
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    loaded = load(path)
    assert torch.equal(torch.rand(3), expected)
    assert same_models(loaded, trained) and loaded.recipe == SMALL
    assert loaded.losses == trained.losses and not loaded.model.training


# Judged


def test_translations_are_those_of_every_translator_of_the_book():
    _, testing = data_of(SMALL)
    some = testing[torch.arange(40)]
    model = train(replace(SMALL, steps=150, batch_size=64, width=48, dropout=0.0)).model
    said = translations(model, some)
    assert torch.equal(exact(said, some), exact_match(model, some))


def test_exact_is_the_whole_and_nothing_more():
    data = pairs([7, 21, 116], ["de"])
    right = data.target[:, 1:].masked_fill(data.target[:, 1:] == PAD, END)
    assert exact(right, data).all()
    assert exact(F.pad(right, (0, 3), value=END), data).all()
    wrong = F.pad(right, (0, 1), value=END)
    wrong[1, 0] += 1  # another first symbol
    wrong[2, -1] = 7  # one more behind the end of all
    assert exact(wrong, data).tolist() == [True, False, False]
    assert not exact(right[:, :2], data)[1:].any()


def test_large_numbers_have_their_vocabulary():
    recipe = replace(SMALL, limit=LARGE_LIMIT)
    assert build(recipe).embedding.weight.shape == (len(LARGE_VOCABULARY), 16)
    assert data_of(recipe)[0].target.max() < len(LARGE_VOCABULARY)


# The command


def test_command_trains_resumes_and_tells_what_it_has_learned(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(module, "FOLDER", tmp_path)
    monkeypatch.setattr(module, "Recipe", lambda **given: replace(SMALL, **given))
    main(["--pair", "en-fr", "--device", "auto", "--steps", "2", "--seed", "3"])
    told = capsys.readouterr().out
    assert "en-fr-3.pt: 2 steps on" in told and "held-out numbers: 0.00% exact, BLEU" in told
    kept = torch.load(tmp_path / "en-fr-3.pt", weights_only=True)
    assert (kept["recipe"]["pair"], kept["recipe"]["seed"], len(kept["losses"])) == ("en-fr", 3, 2)


def test_command_trains_on_large_numbers(monkeypatch, tmp_path):
    monkeypatch.setattr(module, "FOLDER", tmp_path)
    monkeypatch.setattr(module, "Recipe", lambda **given: replace(SMALL, **given))
    main(["--large", "--steps", "1"])
    recipe = torch.load(tmp_path / "en-de-large-0.pt", weights_only=True)["recipe"]
    assert {name: recipe[name] for name in LARGE} == {**LARGE, "steps": 1}


@pytest.mark.parametrize("given", [["--pair", "de-en"], ["--device", "tpu"]])
def test_command_refuses_what_it_does_not_know(given, capsys):
    with pytest.raises(SystemExit):
        main(given)
    assert "invalid choice" in capsys.readouterr().err


# Bad input


def test_pair_that_is_none_is_refused():
    Recipe(pair="en-fr")
    with pytest.raises(ValueError, match="pairs are en-de, en-fr, got 'fr-en'"):
        Recipe(pair="fr-en")


def test_checkpoint_of_another_recipe_is_refused(tmp_path):
    path = tmp_path / "model.pt"
    train(replace(SMALL, steps=1), path)
    with pytest.raises(ValueError, match=r"is of another recipe: \{'steps': 1\}"):
        train(SMALL, path)


def test_batch_larger_than_the_data_is_refused():
    with pytest.raises(ValueError, match=r"batch_size \(5001\) exceeds the 5000 pairs"):
        train(replace(SMALL, batch_size=5_001))


def test_checkpoint_that_is_not_there_is_refused_with_the_command(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"python -m tutor\.materials\.train"):
        load(tmp_path / "model.pt")
