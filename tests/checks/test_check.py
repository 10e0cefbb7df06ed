"""check(), as it is called from a notebook."""

import subprocess
import sys
import textwrap

import pytest
import torch

import tutor.checks
from tutor import ROOT, attention
from tutor.checks import check, find


def students(source):
    """What a notebook's cell defines."""
    namespace = {"torch": torch, "__name__": "__main__"}
    exec(textwrap.dedent(source), namespace)
    return namespace


def test_unknown_name_lists_the_nearest():
    def atention_scores(q, k):
        return q @ k.mT

    assert find("attention_scores").reference is attention.attention_scores
    with pytest.raises(LookupError, match="'atention_scores'; the nearest: attention_scores"):
        check(atention_scores)


@pytest.mark.parametrize("value", [torch.ones(2), 3, None, "attention_scores"])
def test_check_of_no_function_says_what_it_takes(value):
    kind = type(value).__name__
    with pytest.raises(TypeError, match=f"check takes the function itself, got a {kind}"):
        check(value)


def test_check_prints_the_report_in_a_terminal_and_returns_the_points(capsys):
    namespace = students("""
        def causal_mask(num_queries, num_keys, device=None):
            return torch.ones(num_queries, num_keys, dtype=torch.bool, device=device).tril()
    """)
    points = check(namespace["causal_mask"])
    assert isinstance(points, float)
    assert points < 5
    assert "aligned to the wrong corner" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("corner", "devices"), [("", ["cpu"]), ("keys - queries", ["cpu", "cuda"])]
)
def test_cuda_is_asked_only_about_what_the_cpu_accepts(corner, devices, monkeypatch, capsys):
    """An index out of range raises on the CPU, and on CUDA ends CUDA for the whole process."""
    asked, judge = [], tutor.checks.judge

    def judged(exercise, function, device="cpu"):
        asked.append(device)
        return judge(exercise, function)

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(tutor.checks, "judge", judged)
    namespace = students(f"""
        def causal_mask(queries, keys, device=None):
            return torch.ones(queries, keys, dtype=torch.bool, device=device).tril({corner})
    """)
    check(namespace["causal_mask"])
    assert asked == devices


@pytest.mark.parametrize(
    "source",
    [
        "from tutor.attention import causal_mask",
        """
        def causal_mask(num_queries, num_keys, device=None):
            from tutor.attention import causal_mask as theirs
            return theirs(num_queries, num_keys, device)
        """,
        """
        from tutor.attention import causal_mask as theirs
        def helper(*args):
            return theirs(*args)
        def causal_mask(num_queries, num_keys, device=None):
            return helper(num_queries, num_keys, device)
        """,
    ],
    ids=["itself", "imported inside", "through a helper"],
)
def test_function_of_the_course_itself_earns_nothing(source, capsys):
    assert check(students(source)["causal_mask"]) == 0
    assert "the course's own function" in capsys.readouterr().out


def test_own_function_that_calls_own_helpers_is_not_taken_for_the_courses(capsys):
    namespace = students("""
        def below(queries, keys, device):
            return torch.ones(queries, keys, dtype=torch.bool, device=device).tril(keys - queries)
        def causal_mask(num_queries, num_keys, device=None):
            return below(num_queries, num_keys, device)
    """)
    assert check(namespace["causal_mask"]) == 5
    assert "the course's own" not in capsys.readouterr().out


def test_failing_function_that_a_failing_function_calls_is_said_first(capsys):
    namespace = students("""
        def attention_scores(q, k):
            return q @ k.mT

        def helper(q, k, keep):
            weights = attention_scores(q, k).softmax(-1)
            return weights if keep is None else weights * keep

        def scaled_dot_product_attention(q, k, v, keep=None):
            return helper(q, k, keep) @ v
    """)
    check(namespace["scaled_dot_product_attention"])
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].strip().startswith("It calls your attention_scores, which earns")
    assert "mend that first" in lines[1]


@pytest.mark.parametrize(
    "made",
    ["functools.partial(scores, 1)", "torch.compile(of)", "functools.lru_cache(of)", "Scores()"],
)
def test_failing_function_is_said_first_however_it_was_made(made, capsys):
    namespace = students(f"""
        import functools

        def scores(factor, q, k):
            return factor * q @ k.mT

        def of(q, k):
            return scores(1, q, k)

        class Scores:
            def __call__(self, q, k):
                return scores(1, q, k)

        attention_scores = {made}
        scaled_dot_product_attention = functools.partial(
            lambda scores, q, k, v, keep=None: attention_scores(q, k).softmax(-1) @ v, None
        )
    """)
    exec("points = check(scaled_dot_product_attention)", namespace | {"check": check})
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("scaled_dot_product_attention ")
    assert "It calls your attention_scores, which earns" in lines[1]


def test_name_in_the_notebook_that_no_exercise_has_is_said():
    namespace = students("import functools\natention_scores = functools.partial(torch.add)")
    with pytest.raises(LookupError, match="'atention_scores'; the nearest: attention_scores"):
        exec("check(atention_scores)", namespace | {"check": check})


def test_part_of_the_courses_own_function_earns_nothing(capsys):
    namespace = students("""
        import functools
        from tutor import attention
        causal_mask = functools.partial(attention.causal_mask)
    """)
    exec("points = check(causal_mask)", namespace | {"check": check})
    assert "the course's own function" in capsys.readouterr().out


def test_function_that_calls_a_right_one_is_told_nothing_of_it(capsys):
    namespace = students("""
        def attention_scores(q, k):
            return q @ k.mT * q.shape[-1] ** -0.5

        def scaled_dot_product_attention(q, k, v, keep=None):
            return attention_scores(q, k).softmax(-1) @ v
    """)
    check(namespace["scaled_dot_product_attention"])
    assert "It calls your" not in capsys.readouterr().out


class CallableObject:
    def __call__(self, *args):
        return None


def test_check_of_an_object_named_like_an_exercise_does_not_raise(capsys):
    CallableObject.__qualname__ = "attention_scores"
    assert check(CallableObject()) == 0
    assert "expected a tensor" in capsys.readouterr().out


def test_check_in_ipython_returns_the_points_and_shows_the_report():
    code = """
        from IPython.core.interactiveshell import InteractiveShell
        from IPython.utils.capture import capture_output
        shell = InteractiveShell.instance()
        shell.run_cell("from tutor.checks import check")
        shell.run_cell("def padding_mask(lengths, num_keys): return None")
        with capture_output() as shown:
            result = shell.run_cell("check(padding_mask)")
        assert isinstance(result.result, float) and result.result == 0.0, result.result
        value = shell.display_formatter.format(result.result)[0]
        assert value == {"text/plain": "0.0", "text/html": ""}, value
        bundle = shown.outputs[0].data
        assert "text/html" in bundle and "text/plain" in bundle, list(bundle)
        assert any("json" in kind for kind in bundle), list(bundle)
        print("well")
    """
    run = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=1200,
    )
    assert run.stdout.strip().endswith("well"), run.stderr
