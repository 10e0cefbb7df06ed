"""The verdict on how the steps of Python grow from a small call to a large one.

A ratio of two counts of one function says what the function does, and nothing of how it is written:
somebody's visit of a pair takes two lines, and somebody else's nine.
"""

import textwrap

from tutor.checks.compare import answer_problem, crash_problem
from tutor.checks.exceptions import meaning
from tutor.checks.exercise import Case, Contract, counted_cases
from tutor.checks.observation import Trial
from tutor.checks.report import Failure, Verdict
from tutor.checks.trace import Trace, copied, expected_of, play, shapes

_LABEL = "work of one call"
_WIDTH = 92


def growth_verdict(trial: Trial, contract: Contract, right: bool) -> Verdict:
    """Of the last of the contract's calls over the first. ``right``: the values are, elsewhere."""
    earlier = trial.exercise.contract(trial.generator("before it is counted"), trial.device)
    steps, possible = [], trial.exercise.points["contracts"]
    cases = counted_cases(contract)
    for before, case in zip(counted_cases(earlier), cases, strict=True):
        found, sentences = _counted(trial, before, case, right)
        if sentences:
            return _refused(trial, case, sentences, possible)
        steps.append(max(found, 1))
    ratio, most = steps[-1] / steps[0], contract.max_growth
    if ratio > most:
        said = f"{ratio:.1f} times the steps of {_told(trial, cases[0])}; {most:g} times are enough"
        told = textwrap.wrap(contract.growth, _WIDTH, break_on_hyphens=False)
        return _refused(trial, cases[-1], [said, *told], possible)
    summary = f"steps grow {ratio:.1f} times from a small call to a large one; {most:g} are enough"
    return Verdict("contracts", possible, possible, summary)


def _refused(trial: Trial, case: Case, sentences: list[str], possible: int) -> Verdict:
    failure = Failure.of(_LABEL, _told(trial, case), sentences)
    return Verdict("contracts", 0, possible, failure.label, failure)


def _told(trial: Trial, case: Case) -> str:
    return shapes(trial.exercise, case, 0)


def _counted(trial: Trial, before: Case, case: Case, right: bool) -> tuple[int, list[str]]:
    """The steps, and what is wrong besides. ``before``: a case like it, whose answer may be kept
    and is the answer to something else."""
    exercise, candidate = trial.exercise, trial.candidate
    play(candidate, exercise, copied(before))
    response = candidate.walk(copied(case).args)
    trace = Trace((response,), response.args_after)
    if trace.crashed:
        problem = crash_problem(exercise, case, trace)
        return 0, [*problem.sentences, *meaning(exercise, case, 0, response.crash)]
    if response.cost.outside:
        return 0, [f"work that is not counted: {response.cost.outside}"]
    if right:
        expected = expected_of(exercise, copied(case))
        problem = answer_problem(exercise, case, expected, trace, trial.tolerance(case, expected))
        if problem:
            said = "the call whose work is counted gives a wrong answer:"
            return 0, [said, *problem.sentences]
    return response.cost.steps, []
