"""Who raises where the exercise has an answer: a misconception if they say so, and else a crash.

In a file of its own, since all that test_diagnose.py has depends on what it imports.
"""

from reporting import report_on

from tutor import families


def refuses_one_token(tokens, lengths):
    if tokens.shape[1] < 2:
        raise ValueError("in words of its own")
    return families.shift_for_next_token(tokens, lengths)


def cannot_unpack_one_token(tokens, lengths):
    if tokens.shape[1] == 1:
        _, _ = tokens.unbind(1)
    return families.shift_for_next_token(tokens, lengths)


def test_who_refuses_what_is_no_mistake_has_their_own_words_for_it():
    assert report_on("shift_for_next_token", refuses_one_token).traps == ("one token refused",)
    assert report_on("shift_for_next_token", cannot_unpack_one_token).traps == ()
