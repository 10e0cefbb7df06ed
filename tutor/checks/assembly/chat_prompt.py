"""What ``chat_prompt`` must satisfy, and the wrong answers that people give."""

from collections.abc import Iterator

import torch
from torch import Generator

from tutor import assembly as reference
from tutor.checks.assembly import prompts as part
from tutor.checks.assembly.prompts import with_
from tutor.checks.assembly.shared import CHAPTER, PROMPT
from tutor.checks.conditions import Condition, Crossed, Factor, Family, Row
from tutor.checks.draw import Draw
from tutor.checks.exercise import Case, Contract, Exercise, Trap
from tutor.checks.tokens.shared import trained, words

_SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
_TURNS = Factor(
    "turns",
    (
        Condition("a question", value=("user",)),
        Condition("a talk", "a talk of three messages", ("user", "assistant", "user"), alone=True),
        Condition("its own system", "a system's message of its own", ("system", "user")),
        Condition(
            "a late system",
            "a system's message in the middle",
            ("user", "system", "user"),
            edge=True,
        ),
    ),
)
_TEXT = Factor(
    "text",
    (
        Condition("words", value=""),
        Condition(
            "control tokens", "control tokens in what is said", "<|im_end|>", edge=True, alone=True
        ),
        Condition(
            "a start", "control tokens in what is said", " <|im_start|>assistant\n", edge=True
        ),
        Condition("digits", "numbers", " 1789 and 42"),
        Condition("other scripts", "other scripts", " é字😀"),
        Condition("an end", "white space at the end", "? \n"),
    ),
)
_BEGIN = Factor(
    "begin",
    (
        Condition("a letter", value=""),
        Condition("white space", "white space at the beginning", "\n\n ", edge=True, alone=True),
    ),
)
_MERGES = Factor(
    "merges",
    (Condition("trained", value=30), Condition("no merges", "no merges", 0, edge=True)),
)
_ORDER = Factor(
    "special",
    (
        Condition("three", value=_SPECIAL),
        Condition(
            "another order",
            "special tokens in another order",
            ["<|im_end|>", "<x>", "<|im_start|>"],
        ),
    ),
)
FAMILY = Family((_TURNS, _TEXT, _BEGIN, _MERGES, _ORDER))


def _sentence(draw: Draw) -> str:
    return " ".join(word.decode() for word in words(draw, 4, b"adehnost"))


def _arguments(draw: Draw, row: Row) -> tuple:
    messages = [(role, row["begin"] + _sentence(draw) + row["text"]) for role in row["turns"]]
    known = "assistant user system\n\n\n user\n\n\n 1789 42 " + " ".join(t for _, t in messages)
    return messages, trained(known, row["merges"]), list(row["special"])


def _by_hand(draw: Draw) -> Iterator[Case]:
    yield Case(
        "the example of the text", ([("system", "Hi"), ("user", "3")], [(72, 105)], list(_SPECIAL))
    )
    yield Case("an empty question", ([("user", "")], [(10, 10)], list(_SPECIAL)), "edges")
    yield Case("no message must raise ValueError", ([], [], list(_SPECIAL)), "edges", ValueError)
    wrong = [("user", "a"), ("bot", "b")], [], list(_SPECIAL)
    yield Case("a role that is not known must raise ValueError", wrong, "edges", ValueError)


CASES = Crossed(FAMILY, _arguments, _by_hand, usual="a question of a few words")


def _contract(generator: Generator, device: torch.device) -> Contract:
    return Contract(calls=())


CHAT_PROMPT = Exercise(
    reference=reference.chat_prompt,
    chapter=CHAPTER,
    points={"values": 4, "edges": 3, "types": 1},
    cases=CASES,
    contract=_contract,
    outputs=("id",),
    traps=(
        Trap(
            "what the user types is a control token",
            with_(encoded=part.with_control),
            "whoever types <|im_end|> types ten characters. Encode what is said without the "
            "special tokens, and put the control tokens in as numbers; or a question may end its "
            "own turn, and answer itself.",
            PROMPT,
            (part.everything_at_once,),
        ),
        Trap(
            "nobody is asked",
            with_(question=part.not_asked),
            "the prompt ends with the beginning of the assistant's turn. Without it the model has "
            "to begin a turn by itself, and may take the user's.",
            PROMPT,
            (
                with_(question=part.start_alone),
                with_(question=part.without_line),
                with_(question=part.user_again),
            ),
        ),
        Trap(
            "the answer is ended before it begins",
            with_(question=part.already_ended),
            "behind the last <|im_start|>assistant and its line stands nothing: the model goes on.",
            PROMPT,
        ),
        Trap(
            "turns that are not closed",
            with_(wrapped=part.not_closed),
            "every message ends with <|im_end|>, the last one, too.",
            PROMPT,
            (with_(wrapped=part.last_not_closed),),
        ),
        Trap(
            "turns that are not opened",
            with_(wrapped=part.not_opened),
            "every message begins with <|im_start|>.",
            PROMPT,
        ),
        Trap(
            "the beginning twice",
            with_(first=part.twice),
            "a beginning stands before each turn, once. SmolLM2 has no other one before the text.",
            PROMPT,
            (part.begin_of_the_text,),
        ),
        Trap(
            "no line between turns",
            with_(line=part.no_line),
            'behind every <|im_end|> stands a "\\n".',
            PROMPT,
        ),
        Trap(
            "no system",
            with_(system=part.none_added),
            "if the first message is not of the system, `SYSTEM` comes before it, as in the file's "
            "template.",
            PROMPT,
            (with_(system=part.empty_system), with_(system=part.anywhere)),
        ),
        Trap(
            "always the same system",
            with_(system=part.always_added),
            "a conversation that begins with a message of the system has one already.",
            PROMPT,
            (with_(system=part.first_taken_away),),
        ),
        Trap(
            "the last message alone",
            with_(system=part.last_alone),
            "the prompt is the whole talk: nothing of it has been read yet.",
            PROMPT,
        ),
        Trap(
            "the caller's list grows",
            part.put_into_the_list,
            "the caller's list of messages stays as it is. `insert` and `+=` change it, and with "
            "the next turn the system speaks twice.",
            PROMPT,
            overwrites="messages",
        ),
        Trap(
            "role and text apart",
            with_(message=part.in_two),
            'the tokenizer is given "role\\ntext" in one piece: line breaks at the beginning of a '
            "text are merged with the one before it.",
            PROMPT,
            (with_(message=part.in_three),),
        ),
        Trap(
            "the line break inside of the turn",
            part.line_inside,
            "the turn ends with what was said: <|im_end|> first, and then the line break.",
            PROMPT,
        ),
        Trap(
            "another sign behind the role",
            with_(message=part.with_a_space),
            "between role and text stands a line break.",
            PROMPT,
            (with_(message=part.with_a_colon),),
        ),
        Trap(
            "the role left out",
            with_(message=part.text_alone),
            "each message tells whose it is.",
            PROMPT,
            (with_(message=part.all_users),),
        ),
        Trap(
            "the role in other letters",
            with_(message=part.capital, question=part.capital_question),
            "roles are written as they are given. The model has never seen a turn of an Assistant.",
            PROMPT,
            (with_(message=part.capital),),
        ),
        Trap(
            "text cut at its ends",
            with_(message=part.stripped),
            "what was said stays as it is, with its white space. (Some templates strip it; this "
            "one does not.)",
            PROMPT,
        ),
        Trap(
            "digits in one piece",
            with_(encoded=part.digits_together),
            "SmolLM2 has learned with every digit a piece of its own: "
            "`partial(split_pieces, digits_apart=True)`.",
            PROMPT,
            (with_(encoded=part.as_one_piece),),
        ),
        Trap(
            "no merges",
            with_(encoded=part.bytes_alone),
            "the text is encoded with the merges.",
            PROMPT,
        ),
        Trap(
            "numbers of the control tokens",
            with_(numbers=part.files_own),
            "special[j] has the id 256 + len(merges) + j, as in `bpe_encode`; and its place j is "
            "for you to find.",
            PROMPT,
            (
                with_(numbers=part.exchanged),
                with_(numbers=part.without_merges),
                with_(numbers=part.first_two),
            ),
        ),
        Trap(
            "any role",
            with_(refused=part.no_role_refused),
            "the model knows three roles. Raise a ValueError for another one: it would be read as "
            "text that means nothing.",
            PROMPT,
        ),
        Trap(
            "no message at all",
            with_(
                refused=part.no_message_refused, system=lambda m: part.by_default(m or [("", "")])
            ),
            "a conversation without a message asks nothing: raise a ValueError.",
            PROMPT,
        ),
    ),
)
