"""Solutions that are alike."""

import itertools

from tutor.course.sample_class import CHAPTER, FIRST_HALF, NOTEBOOK, solutions
from tutor.grading.reports import similarity


def in_own_words(student: int) -> dict[str, str]:
    """Answers that share no run of code with another student's, and a short one that all share."""
    common = "def attention_scores(q, k):\n    return q @ k.mT / q.shape[-1] ** 0.5"
    written = {"attention_scores": common}
    for n, name in enumerate((*FIRST_HALF[2:], "self_attention", "attention_backward")):
        digits = f"{(student + 2) * 7919 * (n + 3)}"
        pairs = itertools.pairwise(digits)
        body = "\n".join(f"    x = [{d}] * {e}{d} - {d}{e} ** x" for d, e in pairs)
        written[name] = f"def {name}(x):\n{body}\n    return x[{digits}]"
    return written


def test_a_copy_is_found_under_other_names_and_nobody_else_is_accused():
    written = {f"s{n}": in_own_words(n) for n in range(12)}
    assert similarity.pairs(CHAPTER, NOTEBOOK, written) == []
    written["copycat"] = {
        name: source.replace("x", "my_value").replace("    my", "    # mine\n    my")
        for name, source in written["s4"].items()
    }
    (pair,) = similarity.pairs(CHAPTER, NOTEBOOK, written)
    assert pair.students == ("copycat", "s4") and "attention_scores" not in pair.exercises
    assert set(pair.exercises) == set(in_own_words(0)) - {"attention_scores"}


def test_the_reference_solution_in_everybodys_notebook_accuses_nobody():
    written = {f"s{n}": solutions() for n in range(8)} | {"s9": in_own_words(9)}
    assert similarity.pairs(CHAPTER, NOTEBOOK, written) == []


def test_a_solution_of_megabytes_is_looked_at_in_part(monkeypatch):
    long = "".join(f"x{i} = {i} * y\n" for i in range(300_000))
    assert len(long) > 100 * similarity.LONGEST
    written = {f"s{n}": in_own_words(n) for n in range(4)} | {"s4": {"causal_mask": long}}
    lengths, real = [], similarity.fingerprint

    def noting(text: str, length: int, names_count: bool):
        lengths.append(len(text))
        return real(text, length, names_count)

    monkeypatch.setattr(similarity, "fingerprint", noting)
    assert similarity.pairs(CHAPTER, NOTEBOOK, written) == []
    assert similarity.LONGEST // 2 < max(lengths) <= similarity.LONGEST
