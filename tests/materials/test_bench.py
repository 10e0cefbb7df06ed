"""The bench: what stands in the notebooks runs, with the reference's functions, with a student's
in another style, and with wrong ones."""

import json
import re
import textwrap
from contextlib import suppress
from itertools import pairwise

import matplotlib.pyplot as plt
import pytest
import torch
from answers import RIGHT
from IPython.core.interactiveshell import InteractiveShell

from tutor import ROOT, alignment, attention
from tutor.checks import EXERCISES
from tutor.course.release import is_bench, source_notebook
from tutor.materials import bench, smollm2
from tutor.materials import train as training
from tutor.materials.bench import Stopped
from tutor.materials.numbers import VOCABULARY
from tutor.materials.translator import parameter_count
from tutor.tokens import split_pieces
from tutor.transformer import TransformerConfig, TransformerSeq2Seq

REFERENCE = {name: exercise.reference for name, exercise in EXERCISES.items()}
SAME = 1e-4
"""Losses that are further apart than this, relatively, are those of different machines."""
BUDGET = {"steps": 4, "tested": 60}
SHORT = {"text": "Ice is lighter than water.", "prompt": "Monday, Tuesday,", "count": 2}
SMALL = {"translator": BUDGET, "language_model": SHORT, "tokens": {"num_merges": 20}}

CELLS = {
    (markdown.stem, cell.metadata.nbgrader.grade_id.removeprefix("bench-")): cell.source
    for markdown in sorted(ROOT.glob("solutions/*/*.md"))
    for cell in source_notebook(markdown).cells
    if is_bench(cell)
}
"""By chapter and machine."""

TRIED = {
    markdown.stem: [
        textwrap.dedent(code)
        for code in re.findall(
            r"^ *```python\n(.*?)^ *```",
            markdown.read_text("utf-8").partition("## Your machine")[2],
            re.MULTILINE | re.DOTALL,
        )
    ]
    for markdown in sorted(ROOT.glob("solutions/*/*.md"))
}
"""By chapter: what its text invites to try."""

OTHER_STYLE = {
    "lstm_step": "lstm_gate_by_gate",
    "gru_step": "gru_einsum",
    "last_hidden": "last_gathered",
    "additive_scores": "additive_row_by_row",
    "masked_softmax": "softmax_where",
    "attend": "attend_state_by_state",
    "causal_mask": "causal_row_by_row",
    "padding_mask": "padding_one_hot",
    "scaled_dot_product_attention": "attention_query_by_query",
    "attention_backward": "backward_einsum",
    "split_heads": "split_chunks",
    "merge_heads": "merge_cat",
    "cross_attention": "cross_loop",
    "apply_rope": "rope_two_by_two",
    "convert_rope_layout": "convert_indexed",
    "train_bpe": "train_sorted",
    "bpe_encode": "encode_each_merge",
    "bpe_decode": "decode_stack",
    "layer_norm": "norm_var",
    "feed_forward": "feed_linear",
    "encoder_layer": "encoder_step_by_step",
    "decoder_layer": "decoder_step_by_step",
    "rms_norm": "rms_rsqrt",
    "swiglu": "gated_by_linear",
    "sample": "sample_by_mask",
}
TRAPS = {
    ("recurrence", "translator"): ("gru_step", "old and new do not share"),
    ("alignment", "translator"): ("attend", "mask inverted"),
    ("attention", "translator"): ("padding_mask", "inverted"),
    ("attention", "language_model"): ("causal_mask", "shifted forward by one"),
    ("multihead", "translator"): ("cross_attention", "view instead of transpose"),
    ("multihead", "language_model"): ("split_heads", "every H-th feature"),
    ("position", "translator"): ("apply_rope", "added instead of turned"),
    ("position", "language_model"): ("apply_rope", "turned the wrong way"),
    ("tokens", "tokens"): ("bpe_encode", "nothing merged"),
    ("transformer", "translator"): ("decoder_layer", "look-ahead"),
    ("families", "language_model"): ("swiglu", "gate and input exchanged"),
}


def student(name):
    """The answer in another style; what calls one function by name is made of one."""
    return next(f for f in RIGHT[name] if f.__name__ == OTHER_STYLE[name])


def trap(name, called):
    return next(t.function for t in EXERCISES[name].traps if t.name == called)


@pytest.fixture(autouse=True)
def one_thread():
    """The same numbers on every machine, and no figure left open."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
    plt.close("all")


@pytest.fixture(scope="module", autouse=True)
def read_once():
    """The weights are read once for all models of these tests."""
    read, found = smollm2.read_model, []

    def again(path):
        found.append(found[0] if found else read(path))
        return found[-1]

    smollm2.read_model = again
    yield
    smollm2.read_model = read


@pytest.fixture
def run(monkeypatch):
    """``run(key, **functions)``: what a notebook's cell makes of these functions."""

    def run(key, **functions):
        machine, made = key[1], []
        real, small = getattr(bench, machine), SMALL[machine]
        monkeypatch.setattr(
            bench, machine, lambda **given: made.append(real(**given, **small)) or made[-1]
        )
        exec(CELLS[key], {**REFERENCE, **functions})
        monkeypatch.setattr(bench, machine, real)
        return made[0]

    return run


def named_in(key):
    """The functions that a cell passes."""
    return [name for name in OTHER_STYLE if f"{name}={name}" in CELLS[key]]


def numbers(result):
    """What two runs are compared by: losses, or how many tokens a text has."""
    if not isinstance(result, dict):
        return result.losses
    yours = result["yours"]
    return [len(yours) if isinstance(yours, list) else yours[0]]


def apart(one, other):
    """The largest difference of two runs' numbers, relative to the number."""
    return max(abs(a / b - 1) for a, b in zip(numbers(one), numbers(other), strict=True))


def test_every_notebook_has_its_machines():
    chapters = sorted({exercise.chapter for exercise in EXERCISES.values()})
    words = [chapter.partition("_")[2] for chapter in chapters]
    machines = {machine: [w for w, m in sorted(CELLS) if m == machine] for _, machine in CELLS}
    assert machines == {
        "translator": sorted([*words[:5], "transformer"]),
        "language_model": sorted([*words[2:5], "families"]),
        "tokens": ["tokens"],
    }


@pytest.mark.by_content("solutions/*/*.md", "benchmarks/results/translators.json")
@pytest.mark.parametrize("key", CELLS, ids="-".join)
def test_style_makes_no_difference_and_a_trap_does(key, run, capsys):
    ours = run(key)
    assert "fails its check" not in capsys.readouterr().out
    theirs = run(key, **{name: student(name) for name in named_in(key)})
    assert "fails its check" not in capsys.readouterr().out
    assert apart(theirs, ours) < SAME
    name, called = TRAPS[key]
    wrong = run(key, **{name: trap(name, called)})
    said = " ".join(capsys.readouterr().out.split())
    assert f"{name} fails its check" in said and f"“{called}”) and runs all the same" in said
    assert apart(wrong, ours) > 2 * SAME


@pytest.mark.by_content("solutions/*/*.md", "exercises/*/*.ipynb")
@pytest.mark.parametrize("word", TRIED)
def test_mistakes_to_try_run_and_are_named(word, monkeypatch, capsys):
    for machine, small in SMALL.items():
        real = getattr(bench, machine)
        monkeypatch.setattr(bench, machine, lambda real=real, small=small, **g: real(**(g | small)))
    known = {**REFERENCE, "torch": torch, "bench": bench, "pairwise": pairwise}
    known["split_pieces"] = split_pieces
    known["without_sharing"] = trap("gru_step", "old and new do not share")
    assert len(TRIED[word]) == 2
    for source in TRIED[word]:
        exec(source, known)
        said = capsys.readouterr().out
        assert said.count("fails its check") == source.count("bench.") * (
            1 + len(re.findall(r"^for ", source, re.MULTILINE))
        )


@pytest.mark.parametrize("key", [k for k in CELLS if k[1] == "language_model"], ids="-".join)
def test_course_stands_beside(key, run):
    found = run(key)
    assert found["yours"] == found["the course's"]


@pytest.mark.parametrize(
    "name", sorted({n for names, _ in bench.TRANSLATORS.values() for n in names})
)
def test_translators_have_the_courses_size(name):
    chapter = EXERCISES[name].chapter
    _, build = bench.TRANSLATORS[chapter]
    assert 0.97 * 45_000 <= parameter_count(build({name})) <= 1.03 * 45_000


@pytest.mark.parametrize("name", ["rnn_step", "lstm_step", "general_scores", "attention_scores"])
def test_other_parts_work_too(name):
    given = {name: RIGHT[name][0]}
    ours, theirs = (
        bench.translator(**functions, **BUDGET) for functions in ({name: REFERENCE[name]}, given)
    )
    assert apart(theirs, ours) < SAME
    assert all(part.calls for part in theirs.parts.values())


def test_gradients_pass_through_a_backward_that_is_a_students():
    forward = {"scaled_dot_product_attention": REFERENCE["scaled_dot_product_attention"]}
    backward = {"attention_backward": REFERENCE["attention_backward"]}
    by_autograd = bench.translator(**forward, **BUDGET)
    by_hand = bench.translator(**forward, **backward, **BUDGET)
    assert apart(by_hand, by_autograd) < SAME
    assert by_hand.parts["attention_backward"].calls == BUDGET["steps"]


def test_curve_is_drawn_with_the_courses():
    machine = bench.translator(attend=alignment.attend, steps=4, tested=600)
    for axes in plt.gcf().axes:
        labels = [line.get_label() for line in axes.lines]
        assert labels == ["1: one vector", "2: alignment", "yours"]
        assert set(axes.lines[-1].get_ydata()) == {0.0} and len(axes.lines[-1].get_xdata()) > 3
    assert machine.exact == 0.0


def test_translations_are_of_numbers_never_seen(capsys):
    bench.translator(attend=alignment.attend, **BUDGET)
    said = capsys.readouterr().out
    assert "never seen" in said and "Right to the last symbol: 0.0% of 60 translations" in said


def test_trained_machine_says_any_number():
    machine = bench.translator(attend=alignment.attend, **BUDGET)
    calls = machine.parts["attend"].calls
    assert isinstance(machine.says(21, "fr"), str)
    assert machine.parts["attend"].calls > calls


def test_courses_own_functions_are_back_afterwards():
    for function in (alignment.attend, trap("attend", "mask inverted"), lambda *_: 1 / 0):
        before = dict(vars(alignment))
        with suppress(Stopped):
            bench.translator(attend=function, **BUDGET)
        assert dict(vars(alignment)) == before


def test_random_numbers_of_the_notebook_are_left_alone():
    torch.manual_seed(5)
    wanted = torch.rand(3)
    torch.manual_seed(5)
    bench.translator(attend=alignment.attend, **BUDGET)
    assert torch.equal(torch.rand(3), wanted)


def in_a_cell(source: str):
    """What a notebook's cell defines last."""
    shell = InteractiveShell.instance()
    try:
        shell.run_cell(source).raise_error()
        return shell.user_ns["attend"]
    finally:
        InteractiveShell.clear_instance()


def test_exception_shows_the_students_line_and_the_shapes():
    attend = in_a_cell(
        "def helper(a, b):\n"
        "    return a @ b.mT\n"
        "def attend(scores, memory, keep=None):\n"
        "    return helper(scores, memory), scores\n"
    )
    with pytest.raises(Stopped) as stopped:
        bench.translator(attend=attend, **BUDGET)
    said = stopped.value._render_traceback_()
    assert said[:2] == ["attend stopped in line 2 of your cell:", "    return a @ b.mT"]
    assert said[2].startswith("RuntimeError: ")
    assert said[3].startswith("It was called with scores (128, ") and "memory (128, " in said[3]
    assert "keep (128, 1, " in said[3]


def test_function_that_is_not_written_yet_is_named():
    def attend(scores, memory, keep=None):
        raise NotImplementedError

    with pytest.raises(Stopped, match=r"attend stopped in line \d+ of your cell:\n    raise Not"):
        bench.translator(attend=attend, **BUDGET)


def test_answer_of_another_shape_is_named_where_the_machine_stops():
    def attend(scores, memory, keep=None):
        read, weights = alignment.attend(scores, memory, keep)
        return read.mT, weights

    with pytest.raises(Stopped, match="The machine stopped outside of your code") as stopped:
        bench.translator(attend=attend, **BUDGET)
    assert "attend answered (128, 56, " in str(stopped.value)
    assert "the course's (128, " in str(stopped.value)


def test_fault_in_the_backward_pass_is_told_with_the_last_shapes():
    def masked(scores, memory, keep=None):
        weights = scores.softmax(-1)
        read = weights @ memory
        weights.mul_(2)
        return read, weights

    with pytest.raises(Stopped, match=r"attend ran last\. It was called with scores"):
        bench.translator(attend=masked, **BUDGET)


def test_function_that_nothing_calls_is_named(capsys):
    bench.translator(
        attention_scores=attention.attention_scores,
        scaled_dot_product_attention=RIGHT["scaled_dot_product_attention"][0],
        **BUDGET,
    )
    said = " ".join(capsys.readouterr().out.split())
    assert "attention_scores was never called: what you passed with it does its work." in said
    bench.translator(masked_softmax=alignment.masked_softmax, attend=alignment.attend, **BUDGET)
    assert "never called" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("functions", "error", "message"),
    [
        ({}, ValueError, "name a function of yours"),
        ({"attned": max}, ValueError, "A translator has no part 'attned'. A translator takes rnn"),
        ({"attend": 3}, TypeError, "attend must be your function itself, got 3"),
        ({"attend": max, "apply_rope": max}, ValueError, "Chapter 5's translator has no part 'att"),
        ({"gru_step": max, "rnn_step": max}, ValueError, "one of these at a time: gru_step, rnn"),
    ],
)
def test_what_fits_no_translator_is_refused(functions, error, message):
    with pytest.raises(error, match=message):
        bench.translator(**functions, **BUDGET)


LAYERS = ("layer_norm", "feed_forward", "encoder_layer", "decoder_layer")


def test_transformer_is_made_of_all_that_it_is_given():
    given = {name: REFERENCE[name] for name in ("split_heads", "tied_logits", *LAYERS)}
    machine = bench.translator(**given, **BUDGET)
    assert all(part.calls for part in machine.parts.values())
    assert len(machine.losses) == BUDGET["steps"] and isinstance(machine.says(21), str)


def test_transformer_of_functions_is_the_courses_with_the_same_weights():
    """Of the functions: its layers and its norms. Attention has no biases in either."""
    recipe = training.Recipe(num_layers=1)
    model = bench.assembled(recipe).double()
    config = TransformerConfig(
        recipe.width, recipe.num_heads, recipe.hidden_width, 1, 1, norm_first=True, dropout=0.0
    )
    theirs = TransformerSeq2Seq(len(VOCABULARY), config).double()
    theirs.embedding.load_state_dict(model.embedding.state_dict())
    for name, attentions in (
        ("encoder", ["self_attn"]),
        ("decoder", ["self_attn", "multihead_attn"]),
    ):
        stack, own = getattr(theirs.transformer, name), getattr(model.transformer, name)
        (layer,), (parameters,) = stack.layers, own.layers
        rest = list(parameters)
        with torch.no_grad():
            for part in attentions:
                *w_in, w_out = (rest.pop(0) for _ in range(4))
                attention = getattr(layer, part)
                attention.in_proj_weight.copy_(torch.cat([w.mT for w in w_in]))
                attention.out_proj.weight.copy_(w_out.mT)
                for bias in (attention.in_proj_bias, attention.out_proj.bias):
                    bias.zero_()
            for part in (layer.linear1, layer.linear2):
                part.weight.copy_(rest.pop(0).mT)
                part.bias.copy_(rest.pop(0))
            for number in range(1, len(attentions) + 2):
                norm = getattr(layer, f"norm{number}")
                norm.weight.copy_(rest.pop(0))
                norm.bias.copy_(rest.pop(0))
    _, testing = training.data_of(recipe)
    some = testing[torch.arange(5)]
    ours, wanted = (m(some.source, some.lengths, some.target[:, :-1]) for m in (model, theirs))
    torch.testing.assert_close(ours, wanted, rtol=0, atol=1e-10)


def test_functions_of_earlier_notebooks_are_taken_and_what_is_missing_is_told(tmp_path, capsys):
    folder = tmp_path / "04_multihead"
    folder.mkdir()
    cells = [
        (
            "setup",
            False,
            "import torch\nfrom tutor.attention import scaled_dot_product_attention\n",
        ),
        ("split_heads-solution", True, OWN_SPLIT),
        ("merge_heads-solution", True, "def merge_heads(heads):\n    raise NotImplementedError\n"),
        ("cross_attention-solution", True, "def cross_attention(\n"),
    ]
    made = [
        {
            "cell_type": "code",
            "source": source.splitlines(keepends=True),
            "metadata": {"nbgrader": {"grade_id": grade_id, "solution": solution}},
        }
        for grade_id, solution, source in cells
    ]
    (folder / "multihead.ipynb").write_text(json.dumps({"cells": made}))
    found = bench.written("04_multihead", beside=tmp_path)
    said = " ".join(capsys.readouterr().out.split())
    assert set(found) == {"split_heads"}
    assert "multihead.ipynb, cross_attention-solution: SyntaxError" in said
    stands_in = "stands in for merge_heads, multi_head_attention, cross_attention: not written yet"
    assert stands_in in said
    machine = bench.translator(**found, layer_norm=REFERENCE["layer_norm"], **BUDGET)
    assert machine.parts["split_heads"].calls


OWN_SPLIT = """def split_heads(x, num_heads):
    return x.unflatten(-1, (num_heads, -1)).transpose(-3, -2)
"""


def test_function_that_the_first_cell_imports_is_the_students_while_it_runs():
    """A layer of chapter 7's notebook calls what chapter 4's has."""
    space = {}
    exec(
        "from tutor.multihead import cross_attention, multi_head_attention\n"
        "def attended(*args):\n    return cross_attention(*args)\n",
        space,
    )
    reference = REFERENCE["cross_attention"]
    own = next(f for f in RIGHT["cross_attention"] if f.__name__ == "cross_loop")
    given = {"cross_attention": own, "decoder_layer": space["attended"]}
    parts = {name: bench.Part(name, function) for name, function in given.items()}
    with bench.in_place(parts):
        assert space["cross_attention"] is parts["cross_attention"]
    assert space["cross_attention"] is reference


def test_what_smollm2_does_not_call_is_refused():
    with pytest.raises(ValueError, match="SmolLM2 has no part 'attend'"):
        bench.language_model(attend=alignment.attend)


def test_missing_weights_say_what_to_type(monkeypatch, capsys):
    monkeypatch.setattr(smollm2, "PACKAGE", "no_such_package")
    assert bench.language_model(causal_mask=attention.causal_mask) is None
    said = " ".join(capsys.readouterr().out.split())
    assert "which is not installed here" in said and "type `make lab`" in said


def test_tokenizer_of_the_student_gives_the_ids_of_the_courses(capsys):
    own = {name: RIGHT[name][0] for name in ("train_bpe", "bpe_encode", "bpe_decode")}
    found = bench.tokens(num_merges=20, **own)
    assert found["yours"] == found["the course's"]
    assert "fails its check" not in capsys.readouterr().out


def test_tokenizer_with_a_mistake_is_told_and_runs_all_the_same(capsys):
    found = bench.tokens(num_merges=20, bpe_encode=trap("bpe_encode", "nothing merged"))
    assert len(found["yours"]) > len(found["the course's"])
    assert "“nothing merged”) and runs all the same" in " ".join(capsys.readouterr().out.split())
