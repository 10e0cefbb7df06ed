"""A conversation as ids, in parts: the right ones, and those that people get wrong."""

from functools import partial

from tutor.assembly import ROLES, SYSTEM
from tutor.checks.changes import changeable
from tutor.tokens import bpe_encode, split_pieces

_DIGITS = partial(split_pieces, digits_apart=True)


def as_text(text, merges, special):
    return bpe_encode(text, merges, split=_DIGITS)


def by_default(messages):
    return messages if messages[0][0] == "system" else [("system", SYSTEM), *messages]


def in_one(encode, role, text):
    return encode(f"{role}\n{text}")


def asks(encode, start, end):
    return [start, *encode("assistant\n")]


def a_line(encode):
    return encode("\n")


def of_the_special(merges, special):
    first = 256 + len(merges)
    return first + special.index("<|im_start|>"), first + special.index("<|im_end|>")


def unknown(messages):
    return not messages or any(role not in ROLES for role, _ in messages)


def nothing(start, end):
    return []


def closed(ids, start, end, last):
    return [start, *ids, end]


def prompt(
    messages,
    merges,
    special,
    refused=unknown,
    system=by_default,
    encoded=as_text,
    message=in_one,
    question=asks,
    line=a_line,
    numbers=of_the_special,
    first=nothing,
    wrapped=closed,
):
    """The right ids, but for the parts that are given."""
    if refused(messages):
        raise ValueError("a message at least, and roles that are known")

    def encode(text):
        return encoded(text, merges, special)

    start, end = numbers(merges, special)
    ids, messages = list(first(start, end)), system(list(messages))
    for i, (role, text) in enumerate(messages):
        said = message(encode, role, text)
        ids += [*wrapped(said, start, end, i == len(messages) - 1), *line(encode)]
    return ids + question(encode, start, end)


with_ = changeable(prompt)


def with_control(text, merges, special):
    return bpe_encode(text, merges, special, _DIGITS)


def digits_together(text, merges, special):
    return bpe_encode(text, merges)


def bytes_alone(text, merges, special):
    return bpe_encode(text, [], split=_DIGITS)


def as_one_piece(text, merges, special):
    return bpe_encode(text, merges, split=lambda part: [part])


def none_added(messages):
    return messages


def always_added(messages):
    return [("system", SYSTEM), *messages]


def first_taken_away(messages):
    return [("system", SYSTEM), *[m for m in messages if m[0] != "system"]]


def empty_system(messages):
    return messages if messages[0][0] == "system" else [("system", ""), *messages]


def anywhere(messages):
    """A system's message later in the talk is enough."""
    return messages if any(r == "system" for r, _ in messages) else by_default(messages)


def in_two(encode, role, text):
    return [*encode(f"{role}\n"), *encode(text)]


def in_three(encode, role, text):
    return [*encode(role), *encode("\n"), *encode(text)]


def with_a_space(encode, role, text):
    return encode(f"{role} {text}")


def with_a_colon(encode, role, text):
    return encode(f"{role}: {text}")


def stripped(encode, role, text):
    return encode(f"{role}\n{text.strip()}")


def text_alone(encode, role, text):
    return encode(text)


def all_users(encode, role, text):
    return encode(f"user\n{text}")


def not_asked(encode, start, end):
    return []


def without_line(encode, start, end):
    return [start, *encode("assistant")]


def already_ended(encode, start, end):
    return [start, *encode("assistant\n"), end]


def start_alone(encode, start, end):
    return [start]


def user_again(encode, start, end):
    return [start, *encode("user\n")]


def begin_of_the_text(messages, merges, special):
    return [256 + len(merges), *prompt(messages, merges, special)]


def last_alone(messages):
    return by_default(messages[-1:])


def put_into_the_list(messages, merges, special):
    """The caller's own."""
    if unknown(messages):
        raise ValueError("a message at least, and roles that are known")
    if messages[0][0] != "system":
        messages.insert(0, ("system", SYSTEM))
    return prompt(messages, merges, special)


def line_inside(messages, merges, special):
    return prompt(
        messages,
        merges,
        special,
        message=lambda encode, role, text: encode(f"{role}\n{text}\n"),
        line=no_line,
    )


def capital(encode, role, text):
    return encode(f"{role.capitalize()}\n{text}")


def capital_question(encode, start, end):
    return [start, *encode("Assistant\n")]


def no_line(encode):
    return []


def exchanged(merges, special):
    return of_the_special(merges, special)[::-1]


def files_own(merges, special):
    return special.index("<|im_start|>"), special.index("<|im_end|>")


def without_merges(merges, special):
    return 256 + special.index("<|im_start|>"), 256 + special.index("<|im_end|>")


def first_two(merges, special):
    return 256 + len(merges) + 1, 256 + len(merges) + 2


def twice(start, end):
    return [start]


def not_closed(ids, start, end, last):
    return [start, *ids]


def last_not_closed(ids, start, end, last):
    return [start, *ids] if last else [start, *ids, end]


def not_opened(ids, start, end, last):
    return [*ids, end]


def no_role_refused(messages):
    return not messages


def no_message_refused(messages):
    return any(role not in ROLES for role, _ in messages)


def everything_at_once(messages, merges, special):
    """One text, the control tokens written into it and found again."""
    if unknown(messages):
        raise ValueError("a message at least, and roles that are known")
    told = by_default(list(messages))
    text = "".join(f"<|im_start|>{role}\n{said}<|im_end|>\n" for role, said in told)
    return with_control(text + "<|im_start|>assistant\n", merges, special)
