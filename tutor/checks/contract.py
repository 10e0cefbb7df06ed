"""The verdict on the work of a call, and on the points of who hides work."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from tutor.checks.candidate import NO_HOOKS
from tutor.checks.compare import answer_problem, crash_problem
from tutor.checks.cost import SHAPE, Cost
from tutor.checks.exceptions import meaning
from tutor.checks.exercise import Case, Contract, counted_cases
from tutor.checks.growth import growth_verdict
from tutor.checks.limits import UNLIMITED
from tutor.checks.observation import Trial
from tutor.checks.report import Failure, Verdict
from tutor.checks.trace import Trace, copied, copy, dtype_of, expected_of, play, shapes

_NOT_ALLOWED = "not allowed here"
_UNLIKE = "not the same work when it is counted"
_HIDDEN = "work that nobody can count"
_WITHHOLDING = {
    _NOT_ALLOWED: "the work is your own",
    _UNLIKE: "the work can be counted",
    _HIDDEN: "the work can be counted",
}


@dataclass
class _Count:
    """What a counted call breaks of the contract, and what it did."""

    case: Case
    step: int
    """The call that is shown."""
    sentences: list[str]
    did: str = ""
    hidden: bool = False
    """It did work that could be anything, also what the exercise does not allow."""
    unlike: bool = False
    """Its answer is wrong, though the other calls of the group ``values`` gave right ones."""
    forbidden: bool = False
    """It called what the exercise does not allow."""


def contract_verdict(
    trial: Trial, contract: Contract, cases: list[Case], verdicts: dict[str, Verdict]
) -> Verdict:
    """The verdict on the contract, and in its label whether other points are to be withheld.

    Where the other calls gave the right values, the counted ones have to, too: otherwise they do
    other work. Who has failed the edge cases may honestly fail some of them (with a mask, say),
    but not all. Who has failed something has to do what earned the other points once more, counted:
    whoever could choose which cases to fail could otherwise choose what is not looked at.
    """
    if contract.max_growth != UNLIMITED:
        return growth_verdict(trial, contract, verdicts["values"].passed)
    right = verdicts["values"].passed
    whole = right and all(v.passed for name, v in verdicts.items() if name == "edges")
    earlier = trial.exercise.contract(trial.generator("before it is counted"), trial.device)
    counts = [
        _count(trial, contract, before, case, right, whole)
        for before, case in zip(counted_cases(earlier), counted_cases(contract), strict=True)
    ]
    unlike = [c.unlike for c in counts]
    other_work = all(unlike) or (whole and any(unlike))
    if contract.forbidden and not whole:
        free = replace(
            contract, max_flops=UNLIMITED, max_written=UNLIMITED, max_intermediate=UNLIMITED
        )
        twins = _twins(trial, cases, verdicts)
        again = [_count(trial, free, *twin, True, True) for twin in twins]
        other_work = other_work or any(c.unlike for c in again)
        counts = [c for c in again if c.unlike or c.hidden or c.forbidden] + counts
    counts += _told(trial, contract, counts[0])
    possible = trial.exercise.points["contracts"]
    broken = next((c for c in counts if c.sentences), None)
    if broken is None:
        return Verdict("contracts", possible, possible, counts[0].did)
    label = "work of one call" + (f" of {contract.method}" if contract.method else "")
    if used := next((c for c in counts if c.forbidden), None):
        broken, label = used, _NOT_ALLOWED
    elif contract.forbidden and (hidden := next((c for c in counts if c.hidden), None)):
        broken, label = hidden, _HIDDEN
    elif contract.forbidden and other_work:
        broken, label = next(c for c in counts if c.unlike), _UNLIKE
    told = shapes(trial.exercise, broken.case, broken.step)
    failure = Failure.of(label, told, broken.sentences)
    return Verdict("contracts", 0, possible, failure.label, failure)


def withheld(verdicts: dict[str, Verdict]) -> dict[str, Verdict]:
    """The verdicts without the points that mean nothing, given the other verdicts."""
    failure = verdicts["contracts"].failure if "contracts" in verdicts else None
    if failure and failure.label in _WITHHOLDING:
        # The exercise is to write it: nothing that the library's own work earned is the student's.
        until = _WITHHOLDING[failure.label]
        verdicts = {n: v.withheld(until) if v.passed else v for n, v in verdicts.items()}
    if not verdicts["values"].passed:
        # What costs nothing and keeps its dtype earns nothing by itself.
        idle = ("types", "contracts")
        verdicts = {
            n: v.withheld("the values are right") if n in idle and v.passed else v
            for n, v in verdicts.items()
        }
    return verdicts


def _twins(
    trial: Trial, cases: list[Case], verdicts: dict[str, Verdict]
) -> list[tuple[Case, Case]]:
    """Some cases that earned points, each with another of the same form."""
    again = trial.exercise.cases(trial.generator("counted again"), trial.device)
    earned = {name for name, v in verdicts.items() if v.passed}
    # Gradients may be right where the values are not: those are not asked for again.
    gradients = trial.groups["gradients"].observations if "gradients" in earned else []
    right = {id(o.case) for o in gradients if o.right}
    plain = [
        (case, _with_its_masks(case, other))
        for case, other in zip(cases, again, strict=False)  # of forbidden work only one is tried
        if not (case.raises or case.finite_only)
        and dtype_of(case) in (None, torch.float64)
        and (case.group in earned or id(case) in right)
    ]
    generator = trial.generator("which are counted again")
    drawn = [plain[i] for i in torch.randperm(len(plain), generator=generator).tolist()]
    # One of each form that a call may have: with a mask and without, say.
    return list({_form(case): (case, other) for case, other in drawn}.values())


def _with_its_masks(case: Case, other: Case) -> Case:
    """The other case, with what may be read as in the first: who fails some masks only, by an
    honest mistake, does the same again."""

    def one(mine: object, theirs: object) -> object:
        both = isinstance(mine, Tensor) and isinstance(theirs, Tensor)
        same = both and mine.dtype == theirs.dtype == torch.bool and mine.shape == theirs.shape
        return copy(mine) if same else theirs

    return replace(other, args=tuple(map(one, case.args, other.args)))


def _form(case: Case) -> tuple[object, ...]:
    return (*map(type, case.values()), *(call.method for call in case.calls))


def _count(
    trial: Trial,
    contract: Contract,
    before: Case,
    case: Case,
    right: bool,
    whole: bool,
) -> _Count:
    """Count what is done for ``case``.

    ``before``: a case like it, with other numbers, in which nothing is counted.
    """
    exercise, candidate = trial.exercise, trial.candidate
    no_autograd = "autograd" in contract.forbidden
    play(
        candidate, exercise, copied(before)
    )  # an answer kept from it is the answer to other numbers
    trace = play(candidate, exercise, copied(case), None, True, no_autograd)
    step, sentences = _counted_step(case, contract), []
    if trace.crashed:
        if no_autograd and NO_HOOKS in trace.responses[-1].crash.message:
            return _Count(case, step, [contract.forbidden["autograd"]], forbidden=True)
        problem, cost = crash_problem(exercise, case, trace), trace.responses[-1].cost
        if cost is not None and cost.uncountable and cost.unseen:  # where it counts, it is not done
            said = _of_the_unknown(cost, contract)
            return _Count(case, problem.step, said, hidden=True, unlike=right)
        said = meaning(exercise, case, problem.step, trace.responses[-1].crash)
        return _Count(case, problem.step, [*problem.sentences, *said], unlike=right)
    cost = _cost(trace, step)
    for part, sentence in contract.forbidden.items():
        if any(part in name for name in cost.called) and sentence not in sentences:
            sentences.append(sentence)
    forbidden = bool(sentences)
    if cost.uncountable and not sentences:  # what is forbidden is said already
        sentences += _of_the_unknown(cost, contract)
    if cost.outside and not (contract.waits and cost.outside == SHAPE and not cost.unseen):
        sentences.append(f"work outside torch: {cost.outside}")
        if contract.forbidden and cost.unseen:
            sentences.append("whether it is work that is not allowed here, nobody can see")
    if cost.flops > contract.max_flops:
        sentences.append(
            f"{cost.flops:,} FLOPs in {cost.products} matrix products; "
            f"{contract.max_flops:,} are enough"
        )
    if cost.largest > contract.max_intermediate:
        sentences.append(
            f"an intermediate tensor of shape {cost.largest_shape}, {cost.largest:,} elements; "
            f"{contract.max_intermediate:,} are enough"
        )
    if cost.written > contract.max_written:
        sentences.append(
            f"{cost.written:,} elements written by all operations together; "
            f"{contract.max_written:,} are enough"
        )
    unlike = None
    if right:
        expected = expected_of(exercise, copied(case))
        tolerance = trial.tolerance(case, expected)
        unlike = answer_problem(exercise, case, expected, trace, tolerance)
        if unlike and whole:
            said = "when its work is counted, the call answers otherwise:"
            sentences += [said, *unlike.sentences]
        elif unlike:
            said = "the call whose work is counted gives a wrong answer:"
            sentences += [said, *unlike.sentences]
    products = f"{cost.products} matrix product" + "s" * (cost.products != 1)
    did = f"{products}, {cost.flops:,} FLOPs; largest tensor {cost.largest:,} elements"
    return _Count(case, step, sentences, did, cost.unseen, bool(unlike), forbidden)


def _of_the_unknown(cost: Cost, contract: Contract) -> list[str]:
    said = [
        f"{cost.uncountable} is called, and the check does not know how much work that is: "
        "write it with products, sums and elementwise operations"
    ]
    if contract.forbidden and cost.unseen and not cost.outside:
        said.append("it may be what is not allowed here: until then no other point counts")
    return said


def _told(trial: Trial, contract: Contract, count: _Count) -> list[_Count]:
    """What told of itself in a call that nobody counted, and is not allowed in any."""
    told = getattr(trial.candidate, "told", ())
    said = [s for part, s in contract.forbidden.items() if any(part in name for name in told)]
    return [_Count(count.case, count.step, list(dict.fromkeys(said)), forbidden=True)] * bool(said)


def calls_forbidden(trial: Trial, contract: Contract, case: Case) -> bool:
    """Whether the candidate answers a case with what the contract does not allow."""
    if not contract.forbidden:
        return False
    autograd = "autograd" in contract.forbidden
    trace = play(trial.candidate, trial.exercise, copied(case), None, True, autograd)
    called = set().union(*(r.cost.called for r in trace.responses if r.cost))
    return any(part in name for part in contract.forbidden for name in called)


def _counted_step(case: Case, contract: Contract) -> int:
    methods = [None, *(call.method for call in case.calls)]
    return max((i for i, method in enumerate(methods) if method == contract.method), default=0)


def _cost(trace: Trace, step: int) -> Cost:
    """The counted call's, with what all calls together show of work that is hidden or forbidden."""
    costs = [response.cost for response in trace.responses]
    return replace(
        costs[step],
        called=set().union(*(c.called for c in costs)),
        outside=next((c.outside for c in costs if c.outside), None),
        unseen=any(c.unseen for c in costs),
        uncountable=next((c.uncountable for c in costs if c.uncountable), None),
    )
