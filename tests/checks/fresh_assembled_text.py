"""Chapter 14, files, prompts and streams: wrong answers as people give them, written from the
exercises' texts."""

import codecs
from functools import partial

import torch
from fresh import answer

from tutor.assembly import BLOCK, ROLES, SYSTEM
from tutor.efficiency import dequantize_blocks
from tutor.families import sample
from tutor.position import convert_rope_layout
from tutor.tokens import bpe_encode, split_pieces

# load_checkpoint

ENDS = ("token_embd.weight", "output_norm.weight")


def _read(kind, stored):
    if kind == "F32":
        return stored.clone()
    if kind in ("Q4_1", "Q8_0"):
        return dequantize_blocks(stored, kind)
    raise ValueError(kind)


def _table(names, kinds, data):
    return {n: _read(k, d) for n, k, d in zip(names, kinds, data, strict=True)}


def _layers(names):
    numbers = {int(n.split(".")[1]) for n in names if n.startswith("blk.")}
    if not numbers:
        raise ValueError("no block")
    return max(numbers) + 1


def _complete(names):
    wanted = {f"blk.{i}.{p}.weight" for i in range(_layers(names)) for p in BLOCK} | {*ENDS}
    if wanted != set(names):
        raise ValueError(wanted ^ set(names))


def _ready(w, name, h, g):
    if "attn_q" in name or "attn_k" in name:
        w = convert_rope_layout(w, h if "attn_q" in name else g, "half")
    return w.T.reshape(-1) if w.dim() == 2 else w


def _rows(table, h, g, ready=_ready):
    return torch.stack(
        [
            torch.cat([ready(table[n], n, h, g) for n in (f"blk.{i}.{p}.weight" for p in BLOCK)])
            for i in range(_layers(table))
        ]
    )


# "transpose everything"
@answer("the embedding turned, too")
def load_checkpoint__all_turned(names, kinds, data, num_heads, num_kv_heads):
    _complete(names)
    table = _table(names, kinds, data)
    return table[ENDS[0]].T, _rows(table, num_heads, num_kv_heads), table[ENDS[1]]


# sorted by name: blk.0, blk.1, blk.10
@answer("layers in the order of the alphabet")
def load_checkpoint__sorted(names, kinds, data, num_heads, num_kv_heads):
    _complete(names)
    table = _table(names, kinds, data)
    blocks = sorted({n.split(".")[1] for n in names if n.startswith("blk.")})
    rows = [
        torch.cat([_ready(table[n], n, num_heads, num_kv_heads) for n in nine])
        for nine in ([f"blk.{i}.{p}.weight" for p in BLOCK] for i in blocks)
    ]
    return table[ENDS[0]], torch.stack(rows), table[ENDS[1]]


# one head count, as in models without groups
@answer("another number of heads")
def load_checkpoint__one_count(names, kinds, data, num_heads, num_kv_heads):
    _complete(names)
    table = _table(names, kinds, data)
    return table[ENDS[0]], _rows(table, num_heads, num_heads), table[ENDS[1]]


# after the transposition, where rows are inputs
@answer("columns converted")
def load_checkpoint__late(names, kinds, data, num_heads, num_kv_heads):
    _complete(names)
    table = _table(names, kinds, data)

    def ready(w, name, h, g):
        w = w.T.contiguous() if w.dim() == 2 else w
        if "attn_q" in name or "attn_k" in name:
            w = convert_rope_layout(w, h if "attn_q" in name else g, "half")
        return w.reshape(-1)

    return table[ENDS[0]], _rows(table, num_heads, num_kv_heads, ready), table[ENDS[1]]


# the layout of the file is the layout of the model
@answer("the layout not converted")
def load_checkpoint__trusting(names, kinds, data, num_heads, num_kv_heads):
    _complete(names)
    table = _table(names, kinds, data)

    def ready(w, name, h, g):
        return w.T.reshape(-1) if w.dim() == 2 else w

    return table[ENDS[0]], _rows(table, 1, 1, ready), table[ENDS[1]]


# nn.Linear's shape kept
@answer("matrices as they are stored")
def load_checkpoint__linear(names, kinds, data, num_heads, num_kv_heads):
    _complete(names)
    table = _table(names, kinds, data)

    def ready(w, name, h, g):
        if "attn_q" in name or "attn_k" in name:
            w = convert_rope_layout(w, h if "attn_q" in name else g, "half")
        return w.reshape(-1)

    return table[ENDS[0]], _rows(table, num_heads, num_kv_heads, ready), table[ENDS[1]]


# names put in order by the alphabet within a block
@answer("another order within a block")
def load_checkpoint__by_name(names, kinds, data, num_heads, num_kv_heads):
    _complete(names)
    table = _table(names, kinds, data)
    rows = []
    for i in range(_layers(names)):
        nine = sorted(n for n in names if n.startswith(f"blk.{i}."))
        rows.append(torch.cat([_ready(table[n], n, num_heads, num_kv_heads) for n in nine]))
    return table[ENDS[0]], torch.stack(rows), table[ENDS[1]]


# the order in which the file has them
@answer("another order within a block")
def load_checkpoint__as_found(names, kinds, data, num_heads, num_kv_heads):
    _complete(names)
    table = _table(names, kinds, data)
    rows = []
    for i in range(_layers(names)):
        nine = [n for n in names if n.split(".")[1] == str(i)]
        rows.append(torch.cat([_ready(table[n], n, num_heads, num_kv_heads) for n in nine]))
    return table[ENDS[0]], torch.stack(rows), table[ENDS[1]]


# what is not known is left alone
@answer("what is unknown is passed over")
def load_checkpoint__lenient(names, kinds, data, num_heads, num_kv_heads):
    table = _table(names, kinds, data)
    wanted = {f"blk.{i}.{p}.weight" for i in range(_layers(names)) for p in BLOCK} | {*ENDS}
    if not wanted <= set(names):
        raise ValueError("missing")
    return table[ENDS[0]], _rows(table, num_heads, num_kv_heads), table[ENDS[1]]


# a KeyError says it, too
@answer()
def load_checkpoint__key_error(names, kinds, data, num_heads, num_kv_heads):
    table = _table(names, kinds, data)
    rows = _rows(table, num_heads, num_kv_heads)
    if len(table) > 2 + 9 * len(rows):
        raise ValueError("too many")
    return table[ENDS[0]], rows, table[ENDS[1]]


# a list, as language_model takes it
@answer("weights that are not put together")
def load_checkpoint__tuple(names, kinds, data, num_heads, num_kv_heads):
    _complete(names)
    table = _table(names, kinds, data)
    weights = [table[ENDS[0]]]
    for i in range(_layers(names)):
        for p in BLOCK:
            name = f"blk.{i}.{p}.weight"
            w = table[name]
            if p in ("attn_q", "attn_k"):
                w = convert_rope_layout(w, num_heads if p == "attn_q" else num_kv_heads, "half")
            weights.append(w.T if w.dim() == 2 else w)
    return (*weights, table[ENDS[1]])


# all in one
@answer("not a row for each block")
def load_checkpoint__flat(names, kinds, data, num_heads, num_kv_heads):
    _complete(names)
    table = _table(names, kinds, data)
    return table[ENDS[0]], _rows(table, num_heads, num_kv_heads).flatten(), table[ENDS[1]]


# half the memory
@answer("rounded to half precision")
def load_checkpoint__bfloat16(names, kinds, data, num_heads, num_kv_heads):
    _complete(names)
    table = {n: w.bfloat16().to(w.dtype) for n, w in _table(names, kinds, data).items()}
    return table[ENDS[0]], _rows(table, num_heads, num_kv_heads), table[ENDS[1]]


# the layer's number is the fifth character
@answer("layers in the order of the alphabet")
def load_checkpoint__one_digit(names, kinds, data, num_heads, num_kv_heads):
    _complete(names)
    table = _table(names, kinds, data)
    order = sorted(range(_layers(names)), key=lambda i: f"blk.{i}."[4])
    return table[ENDS[0]], _rows(table, num_heads, num_kv_heads)[order], table[ENDS[1]]


# chat_prompt


def _known(messages):
    if not messages:
        raise ValueError("nothing said")
    for role, _ in messages:
        if role not in ROLES:
            raise ValueError(role)


def _tools(merges, special):
    split = partial(split_pieces, digits_apart=True)
    first = 256 + len(merges)
    return (
        lambda text: bpe_encode(text, merges, split=split),
        first + special.index("<|im_start|>"),
        first + special.index("<|im_end|>"),
    )


def _with_system(messages):
    return list(messages) if messages[0][0] == "system" else [("system", SYSTEM), *messages]


# a template, as in transformers, put through the tokenizer
@answer("what the user types is a control token")
def chat_prompt__template(messages, merges, special):
    _known(messages)
    text = ""
    for role, said in _with_system(messages):
        text += "<|im_start|>" + role + "\n" + said + "<|im_end|>" + "\n"
    text += "<|im_start|>assistant\n"
    return bpe_encode(text, merges, special, partial(split_pieces, digits_apart=True))


# without the generation prompt
@answer("nobody is asked")
def chat_prompt__open(messages, merges, special):
    _known(messages)
    encode, start, end = _tools(merges, special)
    ids = []
    for role, said in _with_system(messages):
        ids += [start, *encode(f"{role}\n{said}"), end, *encode("\n")]
    return ids


# the assistant's line without its end
@answer("nobody is asked")
def chat_prompt__no_break(messages, merges, special):
    _known(messages)
    encode, start, end = _tools(merges, special)
    ids = []
    for role, said in _with_system(messages):
        ids += [start, *encode(f"{role}\n{said}"), end, *encode("\n")]
    return [*ids, start, *encode("assistant")]


# a beginning of the text, as LLaMA has it
@answer("the beginning twice")
def chat_prompt__bos(messages, merges, special):
    _known(messages)
    encode, start, end = _tools(merges, special)
    ids = [256 + len(merges)]
    for role, said in _with_system(messages):
        ids += [start, *encode(f"{role}\n{said}"), end, *encode("\n")]
    return [*ids, start, *encode("assistant\n")]


# the model remembers, so the last message is enough
@answer("the last message alone")
def chat_prompt__last(messages, merges, special):
    _known(messages)
    encode, start, end = _tools(merges, special)
    ids = []
    for role, said in _with_system(messages[-1:]):
        ids += [start, *encode(f"{role}\n{said}"), end, *encode("\n")]
    return [*ids, start, *encode("assistant\n")]


# the system's message put into the caller's list
@answer("the caller's list grows")
def chat_prompt__insert(messages, merges, special):
    _known(messages)
    encode, start, end = _tools(merges, special)
    if messages[0][0] != "system":
        messages.insert(0, ("system", SYSTEM))
    ids = []
    for role, said in messages:
        ids += [start, *encode(f"{role}\n{said}"), end, *encode("\n")]
    return [*ids, start, *encode("assistant\n")]


# role and text one after the other
@answer("role and text apart")
def chat_prompt__apart(messages, merges, special):
    _known(messages)
    encode, start, end = _tools(merges, special)
    ids = []
    for role, said in _with_system(messages):
        ids += [start, *encode(role + "\n"), *encode(said), end, *encode("\n")]
    return [*ids, start, *encode("assistant\n")]


# tidied up
@answer("text cut at its ends")
def chat_prompt__stripped(messages, merges, special):
    _known(messages)
    encode, start, end = _tools(merges, special)
    ids = []
    for role, said in _with_system(messages):
        ids += [start, *encode(role + "\n" + said.strip()), end, *encode("\n")]
    return [*ids, start, *encode("assistant\n")]


# the split that chapter 6 has by default
@answer("digits in one piece")
def chat_prompt__default_split(messages, merges, special):
    _known(messages)
    _, start, end = _tools(merges, special)
    encode = partial(bpe_encode, merges=merges)
    ids = []
    for role, said in _with_system(messages):
        ids += [start, *encode(f"{role}\n{said}"), end, *encode("\n")]
    return [*ids, start, *encode("assistant\n")]


# the line break belongs to the text
@answer("the line break inside of the turn")
def chat_prompt__line_inside(messages, merges, special):
    _known(messages)
    encode, start, end = _tools(merges, special)
    ids = []
    for role, said in _with_system(messages):
        ids += [start, *encode(f"{role}\n{said}\n"), end]
    return [*ids, start, *encode("assistant\n")]


# any system message will do
@answer("no system")
def chat_prompt__any_system(messages, merges, special):
    _known(messages)
    encode, start, end = _tools(merges, special)
    talk = list(messages)
    if "system" not in dict(talk):
        talk = [("system", SYSTEM), *talk]
    ids = []
    for role, said in talk:
        ids += [start, *encode(f"{role}\n{said}"), end, *encode("\n")]
    return [*ids, start, *encode("assistant\n")]


# the order of SmolLM2's own three
@answer("numbers of the control tokens")
def chat_prompt__fixed(messages, merges, special):
    _known(messages)
    encode, *_ = _tools(merges, special)
    start, end = 257 + len(merges), 258 + len(merges)
    ids = []
    for role, said in _with_system(messages):
        ids += [start, *encode(f"{role}\n{said}"), end, *encode("\n")]
    return [*ids, start, *encode("assistant\n")]


# roles as headings
@answer("the role in other letters")
def chat_prompt__capital(messages, merges, special):
    _known(messages)
    encode, start, end = _tools(merges, special)
    ids = []
    for role, said in _with_system(messages):
        ids += [start, *encode(f"{role.capitalize()}\n{said}"), end, *encode("\n")]
    return [*ids, start, *encode("Assistant\n")]


# stream


def _asked(prompt):
    if len(prompt) == 0:
        raise ValueError("no prompt")
    return torch.zeros(1, dtype=torch.int64, device=prompt.device)


def _written(model, prompt, stop, chances, cuts):
    """The tokens, as they come."""
    rows, given = _asked(prompt), prompt[None]
    for s in range(len(chances)):
        token = sample(model(given, rows), chances[s : s + 1], *cuts)
        if int(token) in stop:
            return
        yield int(token)
        given = token[None]


# decode as you go
@answer("each token by itself")
def stream__decode(
    model, prompt, tokens, stop, chances, temperature=1.0, top_k=None, top_p=None, tell=None
):
    cuts = temperature, top_k, top_p
    found = [
        tokens[i].decode("utf-8", errors="replace")
        for i in _written(model, prompt, stop, chances, cuts)
    ]
    return [piece for piece in found if piece]


# a try around decode
@answer("held back for ever")
def stream__try(
    model, prompt, tokens, stop, chances, temperature=1.0, top_k=None, top_p=None, tell=None
):
    found, waiting = [], b""
    for i in _written(model, prompt, stop, chances, (temperature, top_k, top_p)):
        waiting += tokens[i]
        try:
            found.append(waiting.decode())
        except UnicodeDecodeError:
            continue
        waiting = b""
    rest = waiting.decode(errors="replace")
    return [piece for piece in [*found, rest] if piece]


# the decoder is never told that it is over
@answer("the tail lost")
def stream__no_final(
    model, prompt, tokens, stop, chances, temperature=1.0, top_k=None, top_p=None, tell=None
):
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    cuts = temperature, top_k, top_p
    found = [decoder.decode(tokens[i]) for i in _written(model, prompt, stop, chances, cuts)]
    return [piece for piece in found if piece]


# the text so far minus what was said, as many demos do it
@answer("halves told and mended too late")
def stream__difference(
    model, prompt, tokens, stop, chances, temperature=1.0, top_k=None, top_p=None, tell=None
):
    found, data, said = [], b"", 0
    for i in _written(model, prompt, stop, chances, (temperature, top_k, top_p)):
        data += tokens[i]
        text = data.decode(errors="replace")
        if len(text) > said:
            found.append(text[said:])
            said = len(text)
    return found


# generate, then decode
@answer("all at the end")
def stream__afterwards(
    model, prompt, tokens, stop, chances, temperature=1.0, top_k=None, top_p=None, tell=None
):
    ids = list(_written(model, prompt, stop, chances, (temperature, top_k, top_p)))
    text = b"".join(tokens[i] for i in ids).decode(errors="replace")
    return [text] if text else []


# a model without a memory
@answer("everything again for each token")
def stream__again(
    model, prompt, tokens, stop, chances, temperature=1.0, top_k=None, top_p=None, tell=None
):
    rows, ids, found = _asked(prompt), prompt.tolist(), []
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    for chance in chances:
        logits = model(torch.tensor([ids], device=prompt.device), rows)
        token = int(sample(logits, chance[None], temperature, top_k, top_p))
        if token in stop:
            break
        ids.append(token)
        found.append(decoder.decode(tokens[token]))
    found.append(decoder.decode(b"", True))
    return [piece for piece in found if piece]


# the prompt prefilled, and then its last token given as the "first input"
@answer("the end of the prompt alone")
def stream__prefilled(
    model, prompt, tokens, stop, chances, temperature=1.0, top_k=None, top_p=None, tell=None
):
    rows, found = _asked(prompt), []
    model(prompt[None], rows)
    given = prompt[-1:][None]
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    for chance in chances:
        token = sample(model(given, rows), chance[None], temperature, top_k, top_p)
        if int(token) in stop:
            break
        found.append(decoder.decode(tokens[int(token)]))
        given = token[None]
    found.append(decoder.decode(b"", True))
    return [piece for piece in found if piece]


# the end of the turn alone
@answer("one of the ends")
def stream__one_stop(
    model, prompt, tokens, stop, chances, temperature=1.0, top_k=None, top_p=None, tell=None
):
    decoder, found = codecs.getincrementaldecoder("utf-8")("replace"), []
    for i in _written(model, prompt, stop[:1], chances, (temperature, top_k, top_p)):
        found.append(decoder.decode(tokens[i]))
    found.append(decoder.decode(b"", True))
    return [piece for piece in found if piece]


# looked at after it was told
@answer("the end in the text")
def stream__told_first(
    model, prompt, tokens, stop, chances, temperature=1.0, top_k=None, top_p=None, tell=None
):
    decoder, found = codecs.getincrementaldecoder("utf-8")("replace"), []
    for i in _written(model, prompt, [], chances, (temperature, top_k, top_p)):
        found.append(decoder.decode(tokens[i]))
        if i in stop:
            break
    found.append(decoder.decode(b"", True))
    return [piece for piece in found if piece]


# always the likeliest
@answer("cuts not passed on")
def stream__argmax(
    model, prompt, tokens, stop, chances, temperature=1.0, top_k=None, top_p=None, tell=None
):
    decoder, found = codecs.getincrementaldecoder("utf-8")("replace"), []
    for i in _written(model, prompt, stop, chances, (0.0, None, None)):
        found.append(decoder.decode(tokens[i]))
    found.append(decoder.decode(b"", True))
    return [piece for piece in found if piece]


# the first token without a chance of its own
@answer("another chance")
def stream__greedy_first(
    model, prompt, tokens, stop, chances, temperature=1.0, top_k=None, top_p=None, tell=None
):
    rows, found, given = _asked(prompt), [], prompt[None]
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    for s in range(len(chances)):
        chance = chances[:1] if s < 2 else chances[s - 1 : s]
        token = sample(model(given, rows), chance, temperature, top_k, top_p)
        if int(token) in stop:
            break
        found.append(decoder.decode(tokens[int(token)]))
        given = token[None]
    found.append(decoder.decode(b"", True))
    return [piece for piece in found if piece]


# nothing between the tokens is dropped
@answer("empty pieces")
def stream__with_empty(
    model, prompt, tokens, stop, chances, temperature=1.0, top_k=None, top_p=None, tell=None
):
    decoder, found = codecs.getincrementaldecoder("utf-8")("replace"), []
    for i in _written(model, prompt, stop, chances, (temperature, top_k, top_p)):
        found.append(decoder.decode(tokens[i]))
    return [*found, decoder.decode(b"", True)]


# given while the prompt is still in hand
@answer("the prompt twice")
def stream__kept_prompt(
    model, prompt, tokens, stop, chances, temperature=1.0, top_k=None, top_p=None, tell=None
):
    rows, found = _asked(prompt), []
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    for chance in chances:
        token = sample(model(prompt[None], rows), chance[None], temperature, top_k, top_p)
        if int(token) in stop:
            break
        found.append(decoder.decode(tokens[int(token)]))
    found.append(decoder.decode(b"", True))
    return [piece for piece in found if piece]


# no prompt, no text
@answer("nothing refused")
def stream__nothing(
    model, prompt, tokens, stop, chances, temperature=1.0, top_k=None, top_p=None, tell=None
):
    if len(prompt) == 0:
        return []
    decoder, found = codecs.getincrementaldecoder("utf-8")("replace"), []
    for i in _written(model, prompt, stop, chances, (temperature, top_k, top_p)):
        found.append(decoder.decode(tokens[i]))
    found.append(decoder.decode(b"", True))
    return [piece for piece in found if piece]


# characters of up to four bytes: what is longer can be none
@answer("halves told and mended too late")
def stream__four_bytes(
    model, prompt, tokens, stop, chances, temperature=1.0, top_k=None, top_p=None, tell=None
):
    found, waiting = [], b""
    for i in _written(model, prompt, stop, chances, (temperature, top_k, top_p)):
        waiting += tokens[i]
        try:
            piece = waiting.decode()
        except UnicodeDecodeError:
            if len(waiting) < 4:
                continue
            piece = waiting.decode(errors="replace")
        found.append(piece)
        waiting = b""
    rest = waiting.decode(errors="replace")
    return [piece for piece in [*found, rest] if piece]
