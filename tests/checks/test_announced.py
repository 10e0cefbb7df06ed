"""What a check asks stands in the exercise's text, or at the beginning of its notebook.

Each condition, each case that is made by hand and each property has a phrase here, and the phrase
has to be found there. What has none is not announced, and the test says so.
"""

import re
from functools import cache

import pytest
import torch
from reporting import NAMES

from tutor import ROOT
from tutor.checks import CHAPTERS, EXERCISES

BATCH = r"\*batch"
SIZES = "Any size may be 1, any two may be equal, and either the larger"
LONG = "a sequence may be thousands of steps long"
LARGE = "Numbers may be small, or so large that a careless formula overflows"
LAYOUTS = "views of other tensors, or lie in memory in any order"
DTYPES = "then in single, half and bfloat16"
MASKS = r"bool and broadcastable to|`keep` . as before|`keep` . as in"
ZEROS = r"may read nothing"
DEVICES = "a `torch.device`, its name, or left out"
LAID_OUT = r"`\"half\"` or `\"interleaved\"`|layout"

# For all exercises: a pattern that the name of a condition, a case or a property has, and one that
# the text has to have.
RULES = {
    "sizes? drawn by lot|by lot$|by lot,|^square, of": "",  # what the text says, in other numbers
    "the mask left out": r"`keep` . (None|as)|keep: Tensor . None = None",
    "left out$|theta$": f"{DEVICES}|= 10000|default|as above|along which",
    "^(double|single|half|bfloat16)$": DTYPES,
    "^(turned|behind|views|contiguous)$": LAYOUTS,
    "^(small|tiny|large|large state|extreme|vanishing|exploding)$|near (its|1e)": LARGE,
    "^(one|none|two|three)$|^as heads$": BATCH,
    "^(random|causal|ragged|one for all|shared)$|everything may be read|causal mask": MASKS,
    "^nothing$|no query may read": ZEROS,
    "only a very low score|candidate far out": LARGE,
    "thousand|[0-9],[0-9]{3} (steps|tokens)|2,050|^long$|^hundreds$": LONG,
    "integers must raise TypeError": "Any other dtype raises a `TypeError`",
    "must raise ValueError": "raise a `ValueError`",
    "^(named|given)$": DEVICES,
    "ten million|^far$": "right at position ten million",
    (
        "^one |^a pair$|^width 1$|^of one|^more (queries$|sentences)|^wider|^one width$|^square$|"
        "^full$|"
        "^as (tokens|features|many|long|wide)|as many|^heads of one|^all widths|^of (three|two)|"
        "^newest$|^two queries|^two heads|^many|^rectangular|^four$|^twelve$|^square weights"
    ): SIZES,
}

# For one: of what it alone has.
OWN = {
    "rnn_step": {"^zeros$": r"`h` . `\(\*batch, C\)`, the state before it"},
    "lstm_step": {"^zeros$": r"the state that was shown"},
    "gru_step": {"^zeros$": r"`h` . `\(\*batch, C\)`"},
    "last_hidden": {
        "^int32$": "int64 or int32",
        "^an empty one$": "A sentence of length 0",
        "^all full$|none as long": "integers from 0 to T",
        "^padding$|other padding|nothing but": "What stands in the padding must not matter",
        "^real$": "nan and infinity too, is handed on",
    },
    "receptive_field": {
        "^none$": "There may be no layer at all",
        "^(ones|threes|wide)$|^(not )?dilat|^doubled$|stride|first$|^large$|^one$": "at least 1",
        "60 times|61 layers": r"exact, up to",
    },
    "gradient_norm_by_lag": {
        "^no step$": "T may be 0",
        "forgotten|rotations|units$": "It is the product",
    },
    "masked_softmax": {
        "hidden has no influence": "as if it were not there",
        "its largest number": "whose largest number is 65,504",
    },
    "attend": {"padding is not zero": "as before"},
    "general_scores": {"only different features": "worth together"},
    "stable_softmax": {
        "^(first|next to last|counted)$|dimension left out": "along which the weights sum",
        "^(vector|four|ones)$": "any shape",
        "^some banned$": "some may be `-inf`",
        "a shift of all scores": "Adding the same number to all scores",
    },
    "causal_mask": {"^newest$|^one query$": "The queries are the \\*newest\\* positions"},
    "padding_mask": {
        "^(int32|int16|bytes)$": "of any dtype that torch compares",
        "^more keys than": "may count less far than Tk",
        "^(an empty one|all full)$": "from 0 to Tk",
        "^of none$|^of two$": BATCH,
    },
    "scaled_dot_product_attention": {"future edit": "reads only the keys that `keep` allows"},
    "self_attention": {"shuffled": "come from the same tokens"},
    "merge_heads": {"undoes": "It undoes `split_heads`"},
    "multi_head_attention": {"another order": "belong to head `h`"},
    "cross_attention": {"hidden memory": "broadcastable"},
    "head_ablation": {
        "^(one kept|all|nothing)$": "True = this head speaks",
        "heads together": r"`w_out` . `\(H·D, C\)`",
        "add up": "They add up",
    },
    "sinusoidal_encoding": {
        "^(int64|int32)$": "integers, or floats of any dtype",
        "^(from zero|a cache|between)$": "not always from zero, not always whole",
        "^before$": "may be negative",
        "features$": "an even number of features",
        "rotation": r"\(\\sin \\varphi_i, \\cos \\varphi_i\)",
    },
    "apply_rope": {
        "^(from zero|a cache|between)$": "integers or floats",
        "^before$": "may be negative",
        "features$": "`D` even",
        "^(neighbours|layout left out)$": LAID_OUT,
        "^each (sentence|head)$": "anything that broadcasts",
        "distance alone": "turned by the angle of its position",
    },
    "convert_rope_layout": {
        "^to interleaved$": "the way back",
        "^(square|projection)$": r"`\(H·D, C\)`",
        "^bias$": "or a bias",
        "^further$": "any number of further dimensions",
        "^pairs only$": "`D` is even",
        "same scores": "gives the same scores",
    },
    "relative_buckets": {
        "^(few|many|hundreds|two a direction)$|other numbers|buckets, causal": "at least 2 buckets",
        "^causal$": "if `bidirectional`",
        "^to |^distances to \\d+|^left out$|all left out": "any other has",
        "^(two|row|single|number)$": "of any shape, without dimensions too",
        "^int(32|16)$|one byte": "integers of any dtype",
    },
    "alibi_slopes": {".*heads$|^(four|sixteen|one|three|twelve|fifteen|many)$|power": "at least 1"},
    "alibi_bias": {
        "^(eight|six|one)$": "`H`",
        "^newest$|^one query$": "the last query stands at the last key",
    },
}
OWN["alibi_slopes"]["left out|named"] = DEVICES
OWN |= {
    "train_bpe": {
        "^any byte$|^pairs at the borders$|sentence|^twice|next letter|in common": (
            "any bytes, and how often"
        ),
        "^runs$|^a run|^runs of": "at each place where it begins",
        "^(single bytes|until the end)$|example": "ends early where no pair is left",
        "^no pieces$": "there may be no piece at all",
        "^once$|equally frequent": "the smallest is merged",
        "^large$": "the counts may be large",
        "^(one|no) merge$|hundreds": "how many merges to make, 0 or more",
    },
    "bpe_encode": {
        "^other scripts$": "in any script",
        "^spaces$|over a space": "white space of all kinds",
        "^numbers$": "`split_pieces`",
        "^as bytes$|half a character": "which need not be text",
        "^empty$": "or empty",
        "^no merges$|^many merges$": "There may be none, or many",
        "special": "the longest where several begin",
        "example|later pair|longest token|merge of merges": "pair of lowest rank is merged",
        "^runs(,|$)": "from left to right",
    },
    "bpe_decode": {
        "^merged$|merge of merges|example": "of bytes, merges and special tokens",
        "^high bytes$|character": "the bytes need not be text",
        "^no ids$": "it may be empty",
        "merges$": "as above",
        "^two specials$": "special tokens",
        "beyond|negative": "must raise `ValueError`",
    },
    "unigram_segment": {
        "unknown|nothing known": "neighbouring unknown characters",
        "^single$|^empty$": "of any length, with characters that no piece has, or empty",
        "^(characters|long pieces)$|short|long|example|longest": "each piece, of any length",
        "an empty piece": "the empty one included",
        "^(close|tiny)$": "which may be very low",
        "equally": "Of equally likely",
        "no piece at all": "raise `ValueError`",
    },
    "tied_logits": {"vector": BATCH},
    "adaptive_log_prob": {
        "^(one|three|no) tails?$": "any number of clusters, none included",
        "^one frequent$": "at least one",
        "vector": BATCH,
        "clusters (than|as)": "must raise `ValueError`",
    },
}
OF_DECODERS = {
    "^(symbol 0|last symbol)$": "any of 0 to V - 1|as in `greedy_decode`",
    "^(one start|the end)$": "and it may be the symbol `end`|as in `greedy_decode`",
    "^latest$|by turns|example": "(the model|in some cases) .* the latest (symbol )?alone",
    "^(likely|none|(one )?at once)$|one after another": "None may finish|as in `greedy_decode`",
    "must raise ValueError": "must raise a `ValueError`",
    "as in a batch": "Each sentence of a batch gets what it gets by itself|for all sentences",
}
OWN |= {
    "label_smoothing_loss": {
        "^third$|^all smoothing$": "from 0 to 1",
        "^no smoothing$|cannot be": "With .* 0\\$ a logit may be `-inf`",
        "^(no padding|one place|empty sentence|all padding)$": "no padding, one place of it, whole",
        "^(last symbol|no symbol|beyond)$": "any symbol, or a number that is no symbol",
        "left out$": "smoothing: float = 0.1, ignore_index: int = 0",
        "example|without a batch": BATCH,
        "worth nothing": "counts for nothing",
        "must raise ValueError": "must raise a `ValueError`",
    },
    "warmup_rate": {
        "^(falling|top)$|largest rate|^a step ": "then falls with the root of the step",
        "^(first|far)$|example": "the first step is 1, and there may be millions",
        "^odd$|^width 1$|^one step$": "at least 1",
        "^default$": "4,000 if it is left out",
        "must raise ValueError": "must raise a `ValueError`",
    },
    "greedy_decode": {
        **OF_DECODERS,
        "^(one symbol|long|nothing)$": "how many symbols are written at most, 0 or more",
        "equally likely": "Of equally likely symbols the first one is taken",
        "^close scores$": "two of them may differ by very little",
    },
    "beam_search": {
        **OF_DECODERS,
        "^(one symbol|long)$": "`longest` is at least 1 here",
        "^(beam of one|many beams)$": "any number of beams, also one, also more than there are",
        "^(no penalty|strong)$": "the exponent of the length penalty, 0 or more",
        "left out$": "beam_size: int = 4|0.6 if it is left out",
        "^close scores$": "as in `greedy_decode`",
        "^a (longer|short) sentence": "divided by the penalty of its length",
        "is greedy": "A beam of one is greedy decoding",
        "best of all": "finds the best sentence of all",
        "each score": "each score is the one that you find",
    },
}

_LAYERS = {
    "^pre-norm$": "pre-norm if True",
    "another order$": "in another order|order of its tokens has none either",
}
OWN |= {
    "layer_norm": {
        "^(given|very small)$": "sometimes much smaller or larger",
        "vector": BATCH,
        "far from 0": "mean may be far from 0",
        "all equal": "All features of a token may be equal",
        "shifted": r"\$7x \+ 100\$ has the norm of \$x\$",
        "alone": "of each token alone",
    },
    "feed_forward": {
        "vector": BATCH,
        "nothing above 0": "nothing may be above 0 in the hidden layer",
        "alone": "Each token is worked on alone",
    },
    "encoder_layer": {**_LAYERS, "hidden tokens": "Hidden tokens have no influence"},
    "decoder_layer": {
        **_LAYERS,
        "^no memory$": "`S` may be 0",
        "^(some of|padded|nothing of) ?memory$": "which tokens of `memory` may be read",
        "later on": "a later token has no influence on an earlier one",
        "hidden memory": "Hidden tokens of `memory` have no influence",
    },
    "rms_norm": {
        "^(given|very small)$": "sometimes much smaller or larger",
        "vector": BATCH,
        "example of the text": r"The token \$\(1, 7\)\$",
        "zeros": "A token may be all zeros",
        "^scaled$": r"\$7x\$ has the norm of \$x\$",
        "300, in half": "their squares may not fit",
        "alone": "of each token alone",
    },
    "swiglu": {
        "vector": BATCH,
        "example of the text": r"One feature, \$x = 2\$",
        "alone": BATCH,
    },
    "mask_tokens": {
        "^int32$": "int64 or int32",
        "special": "There may be none, or nothing else",
        "^(left out|every|never)$": "from 0 to 1; 0.15 if it is left out",
        "^single$": "in double or single precision",
        "^from 0$": "Token 0 is a token like others",
        "example of the text": "The tokens 5, 6, 7, 8",
        "borders|below 0.1": "from 0.8 on and below 0.9",
        "two rows": "the text, int64 or int32",
        "token itself": "a substitute may be the token itself",
        "mask's own id": "it may stand in the text already",
        "^(shorter|longer) ": "Tensors whose shapes differ",
    },
    "shift_for_next_token": {
        "^int32$": "int64 or int32",
        "^counted|lengths of one byte": "integers of any dtype",
        "^(all full|an empty one|all short|single)$": "from 0 to T",
        "^one token$": "With one token",
        "^two tokens$": "T - 1",
        "^from 0$": "token 0 is a token like others",
        "example of the text": "The texts 5, 6, 7, 1 and",
        "looks like text": "Padding may be any number",
        "no token at all": "No token at all must raise",
        "lengths than texts": "`lengths` of another number than B",
    },
    "corrupt_spans": {
        "^no span$": "There may be no span",
        "^one between$": "Between two spans stands at least one token",
        "^(many|long) spans$|^one span$|^one token each$": "a list of pairs",
        "^at (the beginning|the end|both)$": "a span at the beginning or at the end",
        "example of the text": "The text 11, 12, 13",
        "repeats itself|as many sentinels": "a list of integers",
        "whole text": "one that is the whole text",
        "^no text$": "which may be empty",
        "must raise": "Raise a `ValueError` for a span",
    },
    "sample": {
        "^(cool|warm|cold)$": "0 means the likeliest token",
        "^the first( three)?$": "the `top_k` likeliest tokens are left",
        "^more than all$": "It may be more than there are",
        "rows that differ": "a number for each row",
        "chances near": "The answer is the first token at which the sum is above",
        "^a (tiny )?share|up to a share|both cuts|of what is left": "`top_p` is a share of what",
        "^some banned$": "some may be `-inf`",
        "example|chance for each row": "Four tokens with the probabilities",
        "chance of 0": "0 may come",
        "^two nearly alike": "0 means the likeliest token",
        "left out": "1 if it is left out",
        "equally likely|^300": "the one with the smaller number counts as the likelier",
        "not quite 1": "Rounding may keep the whole sum below",
        "must raise": "must raise a `ValueError`",
        "all shares": "drawn evenly from 0 on and below 1",
    },
    "kv_cache_bytes": {
        "^(neither|batch)$": "if it is left out",
        "^(bytes|in half|in double)$": "any that torch has",
        "^(one for all|each its own|large groups|narrow)$": "as many key heads as query heads",
        "^one$|^nothing read$|^many$|no token": "0 and more|131,072",
        "example of the text|SmolLM2|Llama": "Two layers of width 12",
        "must raise": "must raise a `ValueError`",
    },
    "KVCache": {
        "^(half|bfloat16)$": "in half precision and bfloat16",
        "dtype left out": "if it is left out",
        "chunks|piece$|^one by one$": "of one or several tokens",
        "full|room for one": "to its last place",
        "reset|^another text$": "forgets",
        "^(turned|behind|views)$": "in any layout",
        "filled anew": "the caller may fill its tensors anew",
        "in place": "the same memory for as long as the object lives",
        "must raise": "must raise a `ValueError`",
    },
    "decode_step": {
        "^(one for all|each its own)$": "as many key heads as query heads",
        "^default$": "10,000 if it is left out",
        "^(ragged|equal)$": "Rows may differ",
        "^empty$|^first$": "where the token is the first",
        "^full$": "where the cache is full",
        "^large$|left over|zeros$": "finite ones of any size, or zeros",
        "^far apart$": "may be near 1e3",
        "example of the text": "One head of width 2",
        "70 tokens": "to `S`",
        "32-bit": "int64 or int32",
        "token after token": "reads the `lengths",
        "must raise": "must raise a `ValueError`",
    },
    "chunked_prefill": {
        "^(one for all|each its own)$": "as many key heads as query heads",
        "^default$": "as in `decode_step`",
        "^(by token|at once|longer|one token)$|whole chunk|last chunk": "last chunk may be shorter",
        "^far apart$": "may be near 1e3|near\n1e3",
        "40 tokens|long prompt": "1 and more",
        "any chunk": "Any chunk gives the same answers",
        "later tokens": "none that comes later",
        "must raise": "must raise a `ValueError`",
    },
    "RollingCache": {
        "^(half|bfloat16)$|dtype left out": "as in `KVCache`",
        "^not full$": "Places fill up from 0 on",
        "twice round|^by token$": "The token of position `p` stands at place",
        "^longer$|three times|chunk longer": "`t` may be larger than the window",
        "chunks|one place$": "in which pieces the tokens came",
        "long text": "however long the text",
        "reset|^another text$": "forgets",
        "^(turned|behind|views)$": "As in `KVCache`",
        "filled anew": "the numbers are copied in",
        "in place": "the memory is the same for as long as the object lives",
        "must raise": "must raise a `ValueError`",
    },
    "generate": {
        "^(equal|one prompt|one token each)$|more rows": "prompts of any length of 1 and more",
        "^(one of them|none of them|symbol 0)$": "There may be none; symbol 0 may be one",
        "^(all early|at once|never)$": "Everything ends when all rows have",
        "^no cuts$": "if they are left out",
        "^(cold|warm and few|share)$": "of chapter 8",
        "^one token$|^nothing$": "there may be no step",
        "^latest$|^large$": "the model's scores depend on the tokens",
        "example of the text|two stop tokens": "Two texts; the stop token is 2",
        "in the prompts": "A prompt may hold some",
        "different tokens": "repeats the token that has ended it",
        "alone as in": "A text by itself",
        "must raise": "must raise a `ValueError`",
    },
}


def notebook(chapter: str) -> str:
    (path,) = (ROOT / "solutions" / chapter).glob("*.md")
    return path.read_text("utf-8")


@cache
def parts(chapter: str) -> dict[str, str]:
    """A notebook's beginning (\"\"), and the text of each exercise without its hints."""
    first, *others = re.split(r"^## ", notebook(chapter), flags=re.MULTILINE)
    found = {"": first}
    for part in others:
        if named := re.match(r"\d+\. `(\w+)`", part):
            found[named[1]] = re.sub("<details>.*?</details>", "", part, flags=re.DOTALL)
    return found


def kinds(name: str) -> list[str]:
    """Names of all that is asked beside the ordinary: conditions, cases, properties."""
    exercise = EXERCISES[name]
    family, usual = exercise.cases.family, exercise.cases.usual
    found = [c.name for f in family.factors for c in f.conditions[1:]]
    crossed = {row.label or usual for row in family.rows}
    cases = exercise.cases(torch.Generator().manual_seed(0), torch.device("cpu"))
    found += [case.label for case in cases if case.label not in crossed]
    return found + [p.label for p in exercise.properties]


def phrase_of(name: str, kind: str) -> str | None:
    for pattern, phrase in (*OWN.get(name, {}).items(), *RULES.items()):
        if re.search(pattern, kind):
            return phrase
    return None


def announced(name: str, phrase: str) -> bool:
    told = parts(EXERCISES[name].chapter)
    general = "" if phrase in {*OWN.get(name, {}).values(), BATCH, MASKS} else told[""]
    return re.search(phrase, " ".join((general + told[name]).split())) is not None


@pytest.mark.parametrize("name", NAMES)
def test_what_is_asked_is_announced(name):
    silent = []
    for kind in kinds(name):
        phrase = phrase_of(name, kind)
        if phrase is None or not announced(name, phrase):
            silent.append(f"“{kind}”" + (f" ({phrase})" if phrase else ""))
    assert not silent, f"{name} is not told of {', '.join(silent)}"


def test_rules_are_the_same_in_every_notebook():
    told = {
        re.search(r"\*\*What every check asks\*\*.*?\n\n", parts(c)[""], re.DOTALL)[0]
        for c in CHAPTERS
    }
    assert len(told) == 1


def test_a_rule_that_is_missing_is_seen(monkeypatch):
    name = "padding_mask"
    found = parts(EXERCISES[name].chapter)
    monkeypatch.setitem(found, name, found[name].replace("of any dtype that torch compares", ""))
    with pytest.raises(AssertionError, match="is not told of “int32”"):
        test_what_is_asked_is_announced(name)
