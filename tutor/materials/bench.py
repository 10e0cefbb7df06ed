"""The bench: a student's functions at work in the running translator and in a language model.

    bench.translator(masked_softmax=masked_softmax, attend=attend)
    bench.language_model(scaled_dot_product_attention=scaled_dot_product_attention)

Both run the course's own machines, in which the functions stand in the place of the course's of
that name. A function that fails its check is named, and runs all the same.
"""

import inspect
import json
import linecache
import pydoc_data.topics
import sys
import sysconfig
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn

from tutor import ROOT, alignment, attention, families, multihead, position, recurrence, transformer
from tutor import tokens as chapter
from tutor.checks import EXERCISES, judge
from tutor.checks.names import called_by
from tutor.materials import figures
from tutor.materials import train as training
from tutor.materials.numbers import START, VOCABULARY, Pairs, decode, pairs, split
from tutor.materials.progress import progress
from tutor.materials.translator import exact_match, shares_by_length, train, translate

__all__ = ["Machine", "Stopped", "language_model", "tokens", "translator", "written"]

SIZE = len(VOCABULARY)
RESULTS = "benchmarks/results/translators.json"
TRANSFORMER_RESULTS = "benchmarks/results/transformer.json"
TEXT = (
    "Water is a molecule of two atoms of hydrogen and one of oxygen. At sea level it boils at one "
    "hundred degrees, and it freezes at zero. Ice is lighter than water, so it floats, and the "
    "fish in a lake survive the winter below it. Plants draw water from the soil through their "
    "roots and give it back to the air through their leaves."
)
_TOKENS = ("train_bpe", "bpe_encode", "bpe_decode")
_SEEN = 100_000
"""Characters that are trained on, and as many that are encoded."""
_LISTED = 8
"""Values of a list that are told one by one."""
PROMPT = "The days of the week are Monday, Tuesday,"


# The translators, as the chapters build them. Each looks up its parts in the chapters' modules at
# every call, so that it finds a student's there.


class _OneVector(recurrence.Seq2Seq):
    """Chapter 1's translator, whose encoder is a loop of the chapter's own steps."""

    def __init__(self, cell: type[nn.Module], width: int) -> None:
        super().__init__(SIZE, width)
        embedded = self.source_embedding.embedding_dim
        self.encoder = cell(embedded, width // 2, bidirectional=True)

    def forward(self, source: Tensor, lengths: Tensor, target: Tensor) -> Tensor:
        _, last = self.encoder(self.source_embedding(source), lengths)
        states, _ = self.decoder(self.target_embedding(target), last[None])
        return self.readout(states)


class _Masked(alignment.AttentionSeq2Seq):
    """Chapter 2's translator, with chapter 3's function for the mask."""

    def states(
        self, source: Tensor, lengths: Tensor, target: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        states, memory, _ = super().states(source, lengths, target)
        return states, memory, attention.padding_mask(lengths, source.shape[1])


class _Heads(multihead.MultiHeadAttention):
    """The layer's parameters, given to chapter 4's function."""

    def forward(self, x: Tensor, memory: Tensor, keep: Tensor) -> Tensor:
        w_q, w_k, w_v = (w.mT for w in self.in_proj_weight.chunk(3))
        w_out = self.out_proj.weight.mT
        return multihead.cross_attention(x, memory, w_q, w_k, w_v, w_out, self.num_heads, keep)


class _Layers(nn.Module):
    """Layers, pre-norm, each of which is chapter 7's function with parameters of its own, and a
    last norm. With two attentions in each they are a decoder's."""

    def __init__(self, config: transformer.TransformerConfig, number: int, attentions: int) -> None:
        super().__init__()
        self.num_heads, self.attentions = config.num_heads, attentions
        c, f = config.width, config.hidden_width
        self.layers = nn.ModuleList(
            nn.ParameterList(
                [
                    *(_matrix(c, c) for _ in range(4 * attentions)),
                    *(_matrix(c, f), torch.zeros(f), _matrix(f, c), torch.zeros(c)),
                    *(start(c) for _ in range(attentions + 1) for start in _NORM),
                ]
            )
            for _ in range(number)
        )
        self.norm = nn.ParameterList([start(c) for start in _NORM])

    def forward(self, x: Tensor, *given: Tensor) -> Tensor:
        """given: keep; of a decoder memory, keep and memory_keep."""
        for parameters in self.layers:
            fours = [tuple(parameters[4 * i : 4 * i + 4]) for i in range(self.attentions + 1)]
            rest = parameters[4 * len(fours) :]
            norms = tuple(zip(rest[::2], rest[1::2], strict=True))
            if self.attentions == 1:
                (keep,) = given
                x = transformer.encoder_layer(x, *fours, norms, self.num_heads, keep, True)
            else:
                memory, *keeps = given
                *both, feed = fours
                given_weights = (tuple(both), feed, norms, self.num_heads)
                x = transformer.decoder_layer(x, memory, *given_weights, *keeps, True)
        return transformer.layer_norm(x, *self.norm)


_NORM = (torch.ones, torch.zeros)
"""Of so many features: weight and bias of a norm at the beginning."""


def _matrix(rows: int, columns: int) -> Tensor:
    return nn.init.xavier_uniform_(torch.empty(rows, columns))


def assembled(recipe: training.Recipe) -> nn.Module:
    """Chapter 7's translator, whose layers are its functions."""
    config = transformer.TransformerConfig(
        recipe.width, recipe.num_heads, recipe.hidden_width, 0, 0, recipe.dropout, norm_first=True
    )
    torch.manual_seed(recipe.seed)
    model = transformer.TransformerSeq2Seq(SIZE, config)
    for name, attentions in (("encoder", 1), ("decoder", 2)):
        setattr(model.transformer, name, _Layers(config, recipe.num_layers, attentions))
    return model


def _turned(given: set[str]) -> nn.Module:
    """Chapter 5's, without recurrence in its encoder: queries and keys turn by their positions."""
    encoder = multihead.MultiHeadAttention(48, 4, attention=position.rotary_attention)
    reads = multihead.MultiHeadAttention(48, 4, attention=_unturned)
    return attention.ParallelSeq2Seq(SIZE, 48, encoder, reads, embedding_width=24)


def _unturned(q: Tensor, k: Tensor, v: Tensor, keep: Tensor) -> Tensor:
    return attention.scaled_dot_product_attention(q, k, v, keep)


def _one_vector(given: set[str]) -> nn.Module:
    if "lstm_step" in given:
        return _OneVector(recurrence.LSTM, 62)
    return _OneVector(recurrence.RNN, 78) if "rnn_step" in given else _OneVector(recurrence.GRU, 66)


def _aligned(given: set[str]) -> nn.Module:
    if "general_scores" in given:
        return alignment.AttentionSeq2Seq(SIZE, 56, alignment.GeneralAttention(56))
    return alignment.AttentionSeq2Seq(SIZE, 56, alignment.AdditiveAttention(56, 24))


_ATTENTION = ("attention_scores", "padding_mask", "scaled_dot_product_attention")
TRANSLATORS: dict[str, tuple[tuple[str, ...], Callable[[set[str]], nn.Module]]] = {
    "01_recurrence": (("rnn_step", "lstm_step", "gru_step", "last_hidden"), _one_vector),
    "02_alignment": (
        ("additive_scores", "general_scores", "masked_softmax", "attend"),
        _aligned,
    ),
    "03_attention": (
        (*_ATTENTION, "attention_backward"),
        lambda given: _Masked(SIZE, 50, attention.AttentionHead(50)),
    ),
    "04_multihead": (
        ("split_heads", "merge_heads", "cross_attention", *_ATTENTION),
        lambda given: _Masked(SIZE, 48, _Heads(48, 4, bias=False)),
    ),
    "05_position": (
        ("apply_rope", "split_heads", "merge_heads", *_ATTENTION),
        _turned,
    ),
}
"""By chapter: the functions that its translator calls, and the translator itself."""

TRANSFORMER = "07_transformer"
_TRANSFORMER = (
    *_ATTENTION,
    "causal_mask",
    "split_heads",
    "merge_heads",
    "multi_head_attention",
    "cross_attention",
    "sinusoidal_encoding",
    "tied_logits",
    "layer_norm",
    "feed_forward",
    "encoder_layer",
    "decoder_layer",
    "label_smoothing_loss",
    "warmup_rate",
    "greedy_decode",
)
"""The functions of chapters 3 to 7 that chapter 7's translator calls. It is larger than those
before it, and learns one language, as ``tutor.materials.train`` does it."""

_ONE_OF = ({"rnn_step", "lstm_step", "gru_step"}, {"additive_scores", "general_scores"})

_LANGUAGE_MODEL = (
    "attention_scores",
    "scaled_dot_product_attention",
    "causal_mask",
    "split_heads",
    "merge_heads",
    "apply_rope",
    "convert_rope_layout",
    "rms_norm",
    "swiglu",
    "sample",
)
"""The functions that SmolLM2 calls, the last three of them if it is asked to."""


class _Norm(nn.Module):
    """A norm of the model, whose work chapter 8's function does."""

    def __init__(self, norm: nn.RMSNorm) -> None:
        super().__init__()
        self.weight, self.eps = norm.weight, norm.eps

    def forward(self, x: Tensor) -> Tensor:
        return families.rms_norm(x, self.weight, self.eps)


def _by_functions(model: nn.Module) -> None:
    """Chapter 8's functions at work in SmolLM2, with its own weights."""
    model.llama.decoder.norm = _Norm(model.llama.decoder.norm)
    for layer in model.llama.decoder.layers:
        layer.norm1, layer.norm2 = _Norm(layer.norm1), _Norm(layer.norm2)
        weights = tuple(part.weight.mT for part in (layer.gate, layer.linear1, layer.linear2))
        layer._feed = lambda x, weights=weights: families.swiglu(x, *weights)


def _drawn(model: nn.Module) -> None:
    """What is written is drawn: the drawn token has all of the score."""
    chances, scores = torch.Generator().manual_seed(0), model.llama.scores

    def one_hot(hidden: Tensor) -> Tensor:
        logits = scores(hidden)
        chance = torch.rand((), generator=chances)
        token = families.sample(logits, chance, temperature=0.7, top_k=None, top_p=0.9)
        return nn.functional.one_hot(token, logits.shape[-1])

    model.llama.scores = one_hot


# What a student calls


@dataclass(frozen=True, repr=False)
class Machine:
    """A translator that has been trained, with the functions that it is made of."""

    model: nn.Module
    parts: Mapping[str, Callable[..., Any]]
    losses: Sequence[float]
    exact: float
    """The share of exact translations of numbers that it has never seen."""

    def says(self, number: int, language: str = "de") -> str:
        """Its translation of a number below one million, "de" or "fr"."""
        return self.translations(pairs([number], [language]))[0]

    def translations(self, data: Pairs) -> list[str]:
        with _at_work(self.parts):
            said = translate(self.model, data)
        return [" ".join(decode(row)) for row in said.tolist()]

    def __repr__(self) -> str:
        return f"a translator with {self.exact:.1%} exact translations"


def translator(
    *, steps: int | None = None, tested: int = 3000, seed: int = 0, **functions: Callable[..., Any]
) -> Machine:
    """Train the translator of the chapter that asks for these functions, with them in it.

    Shows translations of numbers that it has never seen, and its curve in the course's figure.
    steps: as many as the course's own takes, if it is not given.
    ValueError for functions that no translator calls together; Stopped where one of them fails.
    """
    chapter, build = _translator_of(functions)
    _tell_checks(functions)
    parts = {name: Part(name, function) for name, function in functions.items()}
    with _one_thread(), torch.random.fork_rng(devices=[]), _at_work(parts):
        learned = _transformer if build is None else _learned(build, set(functions))
        model, losses, testing, right = learned(steps, tested, seed)
        shares = shares_by_length(right, testing)
    machine = Machine(model, parts, losses, right.double().mean().item())
    _tell_unused(parts)
    _tell_translations(machine, testing)
    number, runs = int(chapter[:2]), _courses(chapter)
    low, high = (f(s["exact"] for s in _seeds(number, runs)) for f in (min, max))
    print(
        f"Right to the last symbol: {machine.exact:.1%} of {len(testing):,} translations, with "
        f"your {_list(functions)}. The course's: {low:.1%} to {high:.1%}, by the seed."
    )
    figures.use_style()
    figures.translators(runs, number, yours=shares)
    return machine


_Learned = tuple[nn.Module, list[float], Pairs, Tensor]
"""A model, its losses, what it was tested with, and what of that is right."""


def _learned(
    build: Callable[[set[str]], nn.Module], given: set[str]
) -> Callable[[int | None, int, int], _Learned]:
    def learn(steps: int | None, tested: int, seed: int) -> _Learned:
        learning, testing = split()
        testing = _some(testing, tested)
        torch.manual_seed(seed)
        model = build(given)
        losses = train(model, learning, 600 if steps is None else steps, seed=seed)
        return model, losses, testing, exact_match(model, testing)

    return learn


def _transformer(steps: int | None, tested: int, seed: int) -> _Learned:
    recipe = training.Recipe(seed=seed)
    recipe = replace(recipe, steps=recipe.steps if steps is None else steps)
    with in_place({"build": assembled}):
        found = training.train(recipe)
    _, testing = training.data_of(recipe)
    testing = _some(testing, tested)
    said = training.translations(found.model, testing)
    return found.model, found.losses, testing, training.exact(said, testing)


def _some(data: Pairs, number: int) -> Pairs:
    return data[torch.arange(0, len(data), max(1, len(data) // number))]


def written(*chapters: str, beside: Path | None = None) -> dict[str, Callable[..., Any]]:
    """Your functions of these chapters that chapter 7's translator calls, out of the notebooks in
    the folders beside this one's: ``written("03_attention", "04_multihead")``.

    Says what is not there, or not written yet: the course's own stands in for that.
    """
    beside, found, missing = beside or Path.cwd().parent, {}, []
    known = [name for name in _TRANSFORMER if name in EXERCISES]
    for folder in chapters:
        asked = [name for name in known if EXERCISES[name].chapter == folder]
        paths = sorted((beside / folder).glob("*.ipynb"))
        mine = _written_in(paths[0], asked) if paths else {}
        found |= mine
        missing += [name for name in asked if name not in mine]
    if missing:
        print(f"The course's own stands in for {', '.join(missing)}: not written yet.")
    return found


def _written_in(path: Path, names: Sequence[str]) -> dict[str, Callable[..., Any]]:
    """Runs the notebook's first cell and those of its solutions that are written."""
    space: dict[str, Any] = {"__name__": path.stem}
    for cell in json.loads(path.read_text("utf-8"))["cells"]:
        about = cell["metadata"].get("nbgrader", {})
        source = "".join(cell["source"])
        asked = about.get("solution") or about.get("grade_id") == "setup"
        if cell["cell_type"] != "code" or not asked or "raise NotImplementedError" in source:
            continue
        place = f"<{path.name}, {about['grade_id']}>"
        linecache.cache[place] = (len(source), None, source.splitlines(keepends=True), place)
        try:
            exec(compile(source, place, "exec"), space)
        except Exception as error:
            print(f"{path.name}, {about['grade_id']}: {type(error).__name__}: {error}")
    return {name: space[name] for name in names if callable(space.get(name))}


def language_model(
    *, text: str = TEXT, prompt: str = PROMPT, count: int = 12, **functions: Callable[..., Any]
) -> dict[str, tuple[float, str]] | None:
    """Run SmolLM2 with these functions in it, and with the course's: the loss on a text, and the
    next ``count`` tokens of a prompt.

    None, and a line that says what to type, where its weights are not installed.
    """
    _require_known(functions, _LANGUAGE_MODEL, "SmolLM2")
    try:
        from tutor.materials import smollm2

        path = smollm2.model_file()
    except ModuleNotFoundError as error:
        print(
            f"SmolLM2 needs the package {error.name}, which is not installed here: close "
            "JupyterLab and type `make lab` in the course's folder, which installs it."
        )
        return None
    _tell_checks(functions)
    parts = {name: Part(name, function) for name, function in functions.items()}
    found, (weights, tokenizer) = {}, smollm2.read_model(path)
    layout = "half" if "convert_rope_layout" in functions else "interleaved"
    with _one_thread(), progress(2 * count, "token") as show:
        for number, (whose, used) in enumerate((("the course's", {}), ("yours", parts))):
            with _at_work(used):
                reads, turns = smollm2.scaled_dot_product_attention, smollm2.apply_rope
                model = smollm2.assemble(weights, tokenizer, reads, turns, layout)
                if functions.keys() & {"rms_norm", "swiglu"}:
                    _by_functions(model)
                loss, written = model.loss(text), ""
                if "sample" in functions:
                    _drawn(model)
                for done, piece in enumerate(model.written(prompt, count), number * count + 1):
                    written += piece
                    show(done, f"{whose}: {written.strip()}")
            found[whose] = (loss, written)
    _tell_unused(parts)
    table = Table("", "loss, nats a token", f"“{prompt}”")
    for whose, (loss, written) in found.items():
        table.add_row(whose, f"{loss:.3f}", repr(written.strip())[1:-1])
    Console().print(table)
    return found


def tokens(num_merges: int = 300, **functions: Callable[..., Any]) -> dict[str, list[int]]:
    """Train ``num_merges`` merges on real text, Python's own help pages, and encode what the
    training has not seen: with these functions and with the course's. The ids of both."""
    _require_known(functions, _TOKENS, "the tokenizer")
    _tell_checks(functions)
    parts = {name: Part(name, function) for name, function in functions.items()}
    text = "".join(pydoc_data.topics.topics.values())
    seen, unseen = text[:_SEEN], text[_SEEN : 2 * _SEEN]
    pieces, found = Counter(chapter.split_pieces(seen)), {}
    table = Table("", "merges", "bytes a token", "the longest tokens", "comes back")
    for whose, used in (("the course's", {}), ("yours", parts)):
        run = {name: used.get(name, getattr(chapter, name)) for name in _TOKENS}
        with _at_work(used):
            merges = run["train_bpe"](dict(pieces), num_merges)
            found[whose] = run["bpe_encode"](unseen, merges)
            same = run["bpe_decode"](found[whose], merges) == unseen.encode()
        longest = sorted(chapter.bpe_tokens(merges)[256:], key=len, reverse=True)[:3]
        share = len(unseen.encode()) / max(len(found[whose]), 1)
        shown = ", ".join(repr(token.decode(errors="replace")) for token in longest)
        table.add_row(whose, str(len(merges)), f"{share:.2f}", shown, "yes" if same else "no")
    _tell_unused(parts)
    Console().print(table)
    return found


# The student's functions, in the place of the course's


class Stopped(Exception):
    """A student's function, or a machine that it is part of, stopped: where, and the shapes."""

    def _render_traceback_(self) -> list[str]:
        """What IPython shows: not the frames of the bench, which nobody needs to read."""
        return str(self).splitlines()


class Part:
    """A function that knows what it was called with when it, or what is made with it, stops."""

    def __init__(self, name: str, function: Callable[..., Any]) -> None:
        self.name, self.function, self.calls, self.running = name, function, 0, False
        self.reference = EXERCISES[name].reference

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if self.running:  # it looked for the course's own in the course's module
            return self.reference(*args, **kwargs)
        self.calls, self.given, self.answer = self.calls + 1, (args, kwargs), None
        self.running = True
        try:
            self.answer = self.function(*args, **kwargs)
        except Stopped:
            raise
        except Exception as error:
            raise Stopped(f"{self.name} stopped{_line_of(error)}\n{self.told()}") from error
        finally:
            self.running = False
        return self.answer

    def told(self) -> str:
        """The shapes of the last call."""
        args, kwargs = self.given
        bound = inspect.signature(self.reference).bind(*args, **kwargs).arguments
        return f"It was called with {', '.join(f'{n} {_shape(v)}' for n, v in bound.items())}."

    def compared(self) -> str | None:
        """How the last answer's shape differs from the course's, if it does."""
        args, kwargs = self.given
        with torch.no_grad():
            ours, yours = _shape(self.reference(*args, **kwargs)), _shape(self.answer)
        if ours != yours:
            return f"{self.name} answered {yours}, the course's {ours}. {self.told()}"
        return None


def _line_of(error: Exception) -> str:
    """The last line of the traceback that is a student's, and what is wrong there."""
    # The standard library holds the site's packages where they have no folder of their own.
    given = (ROOT / "tutor", *map(sysconfig.get_path, ("stdlib", "purelib", "platlib")))
    own = [
        (frame, line)
        for frame, line in traceback.walk_tb(error.__traceback__)
        if not any(Path(frame.f_code.co_filename).is_relative_to(place) for place in given)
    ]
    what = f"{type(error).__name__}: {error}"
    if not own:
        return f": {what}"
    frame, line = own[-1]
    code = linecache.getline(frame.f_code.co_filename, line, frame.f_globals).strip()
    return f" in line {line} of your cell:\n    {code}\n{what}"


def _shape(value: Any) -> str:
    if isinstance(value, Tensor):
        return str(tuple(value.shape))
    if isinstance(value, tuple | list):
        if len(value) > _LISTED:
            return f"{len(value):,} values"
        return " and ".join(map(_shape, value)) or "nothing"
    return repr(value) if isinstance(value, int | float | str) else type(value).__name__


@contextmanager
def _at_work(parts: Mapping[str, Any]) -> Iterator[None]:
    """While it lasts, the course's modules find these where they look for their own."""
    try:
        with in_place(_by_hand(parts)):
            yield
    except Stopped:
        raise
    except Exception as error:
        called = [part for part in parts.values() if part.calls]
        told = [said for part in called if (said := part.compared())]
        told = told or [f"{part.name} ran last. {part.told()}" for part in called[-1:]]
        what = f"{type(error).__name__}: {error}"
        raise Stopped(
            "\n".join(["The machine stopped outside of your code.", what, *told])
        ) from error


@contextmanager
def in_place(functions: Mapping[str, Any]) -> Iterator[None]:
    modules = [
        recurrence,
        alignment,
        attention,
        multihead,
        position,
        chapter,
        transformer,
        families,
    ]
    modules += filter(None, [training, sys.modules.get("tutor.materials.smollm2")])
    spaces = [vars(m) for m in modules]
    ours = [(s, name, s[name]) for s in spaces for name in functions if name in s]
    ours += _imported(functions)
    try:
        for space, name, _ in ours:
            space[name] = functions[name]
        yield
    finally:
        for space, name, function in ours:
            space[name] = function


def _imported(functions: Mapping[str, Any]) -> list[tuple[dict[str, Any], str, Any]]:
    """Where a student's functions find the course's own, which a notebook's first cell imports."""
    parts = [part for part in functions.values() if isinstance(part, Part)]
    spaces = {id(s): s for p in parts if (s := getattr(p.function, "__globals__", None))}
    return [
        (space, part.name, part.reference)
        for space in spaces.values()
        for part in parts
        if space.get(part.name) is part.reference and space is not vars(_module_of(part))
    ]


def _module_of(part: "Part") -> Any:
    """The chapter in which the course's own is at home: it is found there anyway."""
    return sys.modules[part.reference.__module__]


def _by_hand(parts: Mapping[str, Any]) -> dict[str, Any]:
    """With a backward pass that is a student's, the attention that learns by it."""
    if "attention_backward" not in parts:
        return dict(parts)
    forward = parts.get("scaled_dot_product_attention", attention.scaled_dot_product_attention)
    backward = parts["attention_backward"]

    class ByHand(torch.autograd.Function):
        @staticmethod
        def forward(ctx, q, k, v, keep):
            ctx.save_for_backward(q, k, v, keep)
            return forward(q, k, v, keep)

        @staticmethod
        def backward(ctx, grad_out):
            return *backward(grad_out, *ctx.saved_tensors), None

    return {**parts, "scaled_dot_product_attention": ByHand.apply}


def _translator_of(
    functions: Mapping[str, Any],
) -> tuple[str, Callable[[set[str]], nn.Module] | None]:
    """The chapter, and what builds its translator; None for chapter 7's, which is trained in a way
    of its own."""
    known = [name for names, _ in TRANSLATORS.values() for name in names] + list(_TRANSFORMER)
    _require_known(functions, known, "A translator")
    chapter = max(EXERCISES[name].chapter for name in functions)
    names, build = TRANSLATORS.get(chapter, (_TRANSFORMER, None))
    _require_known(functions, names, f"Chapter {int(chapter[:2])}'s translator")
    for group in _ONE_OF:
        if len(both := [name for name in functions if name in group]) > 1:
            raise ValueError(f"a translator takes one of these at a time: {', '.join(both)}")
    return chapter, build


def _courses(chapter: str) -> dict[str, list[dict[str, Any]]]:
    """The runs of the course's translators that the chapter's stands beside."""
    results = figures.results(RESULTS)
    if chapter < "05":
        return results["runs"]
    before = {name: seeds for name, seeds in results["runs"].items() if int(name[0]) <= 2}
    return before | {n: seeds for n, seeds in results["parallel"].items() if "sinusoids" not in n}


def _seeds(number: int, runs: Mapping[str, list[dict[str, Any]]]) -> list[dict[str, Any]]:
    """The runs of the course's translator of that chapter."""
    if number == int(TRANSFORMER[:2]):
        return figures.results(TRANSFORMER_RESULTS)["small/en-de"]
    (seeds,) = (s for name, s in runs.items() if int(name.partition(":")[0]) == number)
    return seeds


def _require_known(functions: Mapping[str, Any], names: Sequence[str], machine: str) -> None:
    takes = f"{machine} takes {', '.join(dict.fromkeys(names))}"
    if not functions:
        raise ValueError(f"name a function of yours, such as {names[-1]}={names[-1]}. {takes}")
    for name, function in functions.items():
        if name not in names:
            raise ValueError(f"{machine} has no part {name!r}. {takes}")
        if not callable(function):
            raise TypeError(f"{name} must be your function itself, got {_shape(function)}")


# What is said


def _tell_checks(functions: Mapping[str, Callable[..., Any]]) -> None:
    for name, function in functions.items():
        report = judge(EXERCISES[name], function)
        if not report.passed:
            why = f", “{report.traps[0]}”" if report.traps else ""
            print(
                f"{name} fails its check ({report.points:g} of {report.possible} points{why}) and "
                "runs all the same."
            )


def _tell_unused(parts: Mapping[str, Part]) -> None:
    inside = [f for part in parts.values() for f in called_by(part.function, set()).values()]
    for part in parts.values():
        if not part.calls and part.function not in inside:
            print(f"{part.name} was never called: what you passed with it does its work.")


def _tell_translations(machine: Machine, testing: Pairs) -> None:
    """One number of each length, in turn to either language."""
    lengths = sorted(set(testing.lengths.tolist()))[-6:]
    places = [(testing.lengths == n).nonzero().flatten()[i % 2 - 1] for i, n in enumerate(lengths)]
    data = testing[torch.stack(places)]
    tongues = {start: language for language, start in START.items()}
    table = Table("never seen", "to", "your machine says", "right?")
    wanted = (" ".join(decode(row[1:])) for row in data.target.tolist())
    said = machine.translations(data)
    for number, row, says, right in zip(data.numbers, data.target, said, wanted, strict=True):
        correct = "yes" if says == right else f"no: {right}"
        table.add_row(f"{number:,}", tongues[row[0].item()], says, correct)
    Console().print(table)


def _list(names: Mapping[str, Any]) -> str:
    *first, last = names
    return f"{', '.join(first)} and {last}" if first else last


@contextmanager
def _one_thread() -> Iterator[None]:
    """A translator is so small that a second thread costs it more than it computes; and beside
    other processes it costs any model many times as much, because every operation waits for both.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
