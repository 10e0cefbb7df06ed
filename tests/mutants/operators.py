"""Every mutant of one function: cosmic-ray's, and the faults that people make with tensors.

A mutation of an expression is made only where it means something: each expression of the function
is first watched while the function answers its exercise's cases, to see what it is.
"""

import ast
import contextlib
import copy
import itertools
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from cosmic_ray.mutating import mutate_code
from cosmic_ray.plugins import get_operator, operator_names
from torch import Tensor

from tutor.checks import Exercise

VALIDATION = "_require"
"""Arguments of functions with such a name are not mutated as tensors: these compute nothing."""

METHODS = {
    "amax": ("amin", "mean", "sum"),
    "sum": ("mean", "amax", "prod", "logsumexp"),
    "exp": ("exp2", "expm1", "sigmoid", "abs", "exp_"),
    "softmax": ("log_softmax",),
    "masked_fill": ("masked_fill_",),
}
"""Methods that take the same arguments."""

FILLS = ("0.0", "-1e9", "-1e4", "-torch.inf", "torch.finfo(torch.float32).min")
"""What people hide scores with."""

IN_PLACE = {ast.Add: "add_", ast.Sub: "sub_", ast.Mult: "mul_", ast.Div: "div_"}

OF_FLOATS = (
    "-e",
    "e.half()",
    "e.bfloat16()",
    "e.float()",
    "e.double()",
    "rounded(e)",
    "e * 1.00000001",
    "torch.zeros_like(e)",
    "torch.ones_like(e)",
    "through_list(e)",
    "e.cpu()",
)

Run = Callable[[str, dict[str, Any]], None]
"""Puts the function with the source given, and names beside it, through its exercises' cases."""


@dataclass(frozen=True)
class Mutant:
    function: str
    source: str
    origin: str
    """``cosmic-ray`` or ``tensor``."""


def plain(tree: ast.Module) -> ast.Module:
    """Without annotations and docstrings, which no mutation is to touch."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            _Bare().visit(node)
            node.returns = None
            for arg in node.args.args:
                arg.annotation = None
        documented = (ast.FunctionDef, ast.ClassDef, ast.Module)
        if isinstance(node, documented) and ast.get_docstring(node):
            del node.body[0]
    return tree


class _Bare(ast.NodeTransformer):
    """Variables without annotations."""

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.stmt:
        if node.value is None:
            return node
        return ast.copy_location(ast.Assign([node.target], node.value), node)


def mutants(
    source: str, run: Run, exercise: Exercise, library: Sequence[str] = ()
) -> Iterator[Mutant]:
    """Each mutant of the function with this source, once, for the exercise that judges it.

    library: what the function may not return, since the library does the work there.
    """
    function = ast.parse(source).body[0]
    told = {ast.unparse(function)}
    both = (
        ("cosmic-ray", _by_cosmic_ray(ast.unparse(function))),
        ("tensor", _Tensors(function, run, exercise, library).mutants()),
    )
    for origin, sources in both:
        for mutated in sources:
            mutated = ast.unparse(ast.parse(mutated))
            if mutated not in told:
                told.add(mutated)
                yield Mutant(function.name, mutated, origin)


def _by_cosmic_ray(source: str) -> Iterator[str]:
    for name in operator_names():
        operator = get_operator(name)
        if operator.arguments():
            continue  # replaces variables by random numbers; `_Tensors.names` does it by variables
        for occurrence in itertools.count():
            mutated = mutate_code(source, operator(), occurrence)
            if mutated is None:
                break
            with contextlib.suppress(SyntaxError):  # it makes `a * not b` of `a * -b`
                ast.parse(mutated)
                yield mutated


@dataclass
class _Seen:
    """What an expression was while the function ran."""

    kinds: set[str] = field(default_factory=set)
    ndims: set[int] = field(default_factory=set)
    sizes: list[int] = field(default_factory=lambda: [0, 0])
    """The largest of the last two dimensions, last first."""

    def note(self, value: Any) -> Any:
        if isinstance(value, Tensor):
            self.ndims.add(value.ndim)
            self.sizes = list(map(max, self.sizes, (*value.shape[:-3:-1], 0, 0)))
            real = "float" if value.is_floating_point() else "int"
            self.kinds.add("bool" if value.dtype == torch.bool else real)
        elif value is not None:  # an optional tensor's absence
            self.kinds.add("python " + type(value).__name__)
        return value

    @property
    def kind(self) -> str | None:
        return next(iter(self.kinds)) if len(self.kinds) == 1 else None


class _Tensors:
    """The faults that people make with tensors, at every place of one function."""

    def __init__(self, tree: ast.FunctionDef, run: Run, exercise: Exercise, library: Sequence[str]):
        self.tree, self.library = tree, library
        self.graded = tree.name == exercise.name or exercise.is_class
        self.differentiated = "gradients" in exercise.points
        self.parameters = [a.arg for a in tree.args.args]
        self.seen = _watch(tree, run)
        self.kinds: dict[str, str | None] = {}
        """Of variables, and of an object's attributes."""
        for node in ast.walk(tree):
            if (name := _variable(node)) and id(node) in self.seen:
                self.kinds.setdefault(name, self.seen[id(node)].kind)

    def mutants(self) -> Iterator[str]:
        called = {id(n.func) for n in ast.walk(self.tree) if isinstance(n, ast.Call)}
        # Where no number of a tensor is read, its numbers may be what they like.
        unread = {id(part) for node in ast.walk(self.tree) for part in _unread(node)}
        # And where nobody takes a call's answer, it may be what it likes.
        left = {id(node.value) for node in ast.walk(self.tree) if isinstance(node, ast.Expr)}
        for node in ast.walk(self.tree):
            if id(node) not in self.seen or id(node) in called:
                continue
            makers = [self.names, self.arguments]
            if id(node) not in unread:
                makers += [self.operation, self.method, self.transpose, self.index]
            if id(node) not in unread | left:
                makers.append(self.kind)
            for made in itertools.chain.from_iterable(maker(node) for maker in makers):
                yield self.replaced(node, made)
        yield from self.statements()
        if self.graded:
            yield from self.decorators()
        for body in self.library:
            yield self.with_body([ast.parse(f"return {body}").body[0]])

    def replaced(self, node: ast.expr, new: str | ast.expr) -> str:
        """The function with ``new`` in the place of ``node``; a string's ``e`` is the node."""
        if isinstance(new, str):
            new = _Put(node).visit(ast.parse(new, mode="eval").body)
        return ast.unparse(copy.deepcopy(self.tree, {id(node): new}))

    def with_body(self, body: list[ast.stmt]) -> str:
        tree = copy.copy(self.tree)
        tree.body = body
        return ast.unparse(tree)

    # Expressions: each yields what may stand in the place of the node

    def names(self, node: ast.expr) -> Iterator[str]:
        """Another variable of the same kind."""
        if variable := _variable(node):
            kind = self.seen[id(node)].kind
            for name, other in self.kinds.items():
                if other == kind and kind is not None and name != variable:
                    yield name

    def arguments(self, node: ast.expr) -> Iterator[ast.expr]:
        """An argument less."""
        if not isinstance(node, ast.Call):
            return
        for i in range(len(node.args)):
            yield ast.Call(node.func, node.args[:i] + node.args[i + 1 :], node.keywords)
        for i in range(len(node.keywords)):
            yield ast.Call(node.func, node.args, node.keywords[:i] + node.keywords[i + 1 :])

    def kind(self, node: ast.expr) -> Iterator[str]:
        """The same tensor or number with a fault."""
        seen = self.seen[id(node)]
        axes, batched = min(seen.ndims, default=0), max(seen.ndims, default=0) > 2
        columns, rows = seen.sizes
        if seen.kind in ("float", "bool", "int"):
            yield "through_numpy(e)"
            if isinstance(node, ast.Name) and node.id in self.parameters:
                yield "viewed(e)"
            if columns > 1:
                yield "rolled(e)"
            if axes > 1 and max(rows, columns) > 1:
                yield "swapped_axes(e)"
            if axes > 1 and rows > 1:
                yield "first_row(e)"
            if batched:
                yield from ("first_batch(e)", "batch_reversed(e)")
        if seen.kind == "float":
            yield from OF_FLOATS
            if self.differentiated:
                yield "e.detach()"
        if seen.kind == "bool":
            yield from ("inverted(e)", "everything(e)", "nothing(e)")
            yield from ("cast(e, torch.float32)", "cast(e, torch.int64)")
        if seen.kind == "int":
            yield from ("e + 1", "e - 1", "e.to(torch.int8)", "e.half()")
            if not batched and columns > 1:
                yield "first_batch(e)"
        if seen.kind in ("python int", "python float"):
            yield from ("e + 1", "e - 1", "-e", "e * 2")
        if seen.kind == "python float":
            yield from ("1 / e", "e ** 2", "e ** 0.5")

    def operation(self, node: ast.expr) -> Iterator[ast.expr | str]:
        if isinstance(node, ast.Compare) and not isinstance(node.ops[0], (ast.Is, ast.IsNot)):
            yield ast.Compare(node.comparators[0], node.ops, [node.left])
        if not isinstance(node, ast.BinOp):
            return
        yield from (node.left, node.right)
        if not isinstance(node.op, (ast.Add, ast.Mult)):
            yield ast.BinOp(node.right, node.op, node.left)
        left, right = (ast.unparse(side) for side in (node.left, node.right))
        method = IN_PLACE.get(type(node.op))
        if method and self.seen[id(node)].kind in ("float", "int"):
            yield f"({left}).{method}({right})"
        if isinstance(node.op, ast.Div):
            yield f"({left}) / ({right} + 1e-9)"
        if isinstance(node.op, ast.MatMult):
            yield ast.BinOp(node.left, ast.Mult(), node.right)
            for name in ("torch.bmm", "broadcast_product", "product_twice"):
                yield f"{name}({left}, {right})"

    def method(self, node: ast.expr) -> Iterator[ast.expr]:
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
            return
        name = node.func.attr
        for other in METHODS.get(name, ()):
            func = ast.Attribute(node.func.value, other, ast.Load())
            yield ast.Call(func, node.args, node.keywords)
        if self.seen[id(node)].kind in ("float", "bool", "int"):
            yield node.func.value  # the call left out
        if name == "masked_fill":
            for fill in FILLS:
                yield ast.Call(node.func, [node.args[0], ast.parse(fill, mode="eval").body], [])
        if name in ("amax", "sum", "softmax"):
            for dim in (-1, -2, 0, 1, 2):
                value = ast.Constant(dim)
                if node.args:
                    yield ast.Call(node.func, [value, *node.args[1:]], node.keywords)
                else:
                    keywords = [ast.keyword("dim", value), *node.keywords[1:]]
                    yield ast.Call(node.func, [], keywords)

    def transpose(self, node: ast.expr) -> Iterator[str]:
        if isinstance(node, ast.Attribute) and node.attr == "mT":
            x = ast.unparse(node.value)
            yield from (x, f"{x}.T", f"{x}.transpose(0, 1)", f"{x}.transpose(1, 2)")
            yield from (f"{x}.permute(0, 2, 1)", f"{x}.reshape({x}.mT.shape)")

    def index(self, node: ast.expr) -> Iterator[ast.expr]:
        """Axes counted from the wrong end, or from the end that is right for three of them."""
        if not isinstance(node, ast.Subscript):
            return
        index = node.slice
        if not isinstance(index, ast.Tuple):
            for i in range(-3, 3):
                yield ast.Subscript(node.value, ast.Constant(i), ast.Load())
            return
        yield node.value
        everything = ast.Slice()
        parts = index.elts
        choices = [parts[:i] + parts[i + 1 :] for i in range(len(parts))]
        choices += [
            [everything if isinstance(p, ast.Constant) and p.value is ... else p for p in parts],
            parts[::-1],
        ]
        for choice in choices:
            yield ast.Subscript(node.value, ast.Tuple(choice, ast.Load()), ast.Load())

    # Statements and the function as a whole

    def statements(self) -> Iterator[str]:
        for node in ast.walk(self.tree):
            if isinstance(node, ast.If):
                for value in (True, False):
                    yield self.replaced(node.test, ast.Constant(value))
            if isinstance(node, ast.Return) and isinstance(node.value, ast.Tuple):
                elements = node.value.elts
                for order in itertools.permutations(elements):
                    yield self.replaced(node.value, ast.Tuple(list(order), ast.Load()))
                for i in range(len(elements)):
                    fewer = elements[:i] + elements[i + 1 :]
                    yield self.replaced(node.value, ast.Tuple(fewer, ast.Load()))
            if isinstance(node, ast.Expr) and (new := _rebound(node.value)):
                yield ast.unparse(copy.deepcopy(self.tree, {id(node): new}))
            for statement in getattr(node, "body", ()) if isinstance(node, ast.stmt) else ():
                yield ast.unparse(copy.deepcopy(self.tree, {id(statement): ast.Pass()}))

    def decorators(self) -> Iterator[str]:
        kinds = [self.kinds.get(name) for name in self.parameters]
        tensors = [i for i, kind in enumerate(kinds) if kind in ("float", "bool", "int")]
        names = ["cached_by_shape", "first_answer", "one_buffer"]
        if tensors:
            names += ["cached_by_identity", "cached_by_address"]
            names += ["one_batch_shape", "one_batch_size"]
        if self.differentiated:
            names.append("without_graph")
        names += [f"overwrites({i})" for i in tensors]
        for name in names:
            tree = copy.copy(self.tree)
            tree.decorator_list = [ast.parse(name, mode="eval").body]
            yield ast.unparse(tree)


def _unread(node: ast.AST) -> Iterator[ast.AST]:
    if isinstance(node, ast.Call) and ast.unparse(node.func).startswith(VALIDATION):
        yield from ast.walk(node)
    if isinstance(node, ast.Call) and ast.unparse(node.func) == "len":
        yield from node.args
    if isinstance(node, ast.Attribute) and node.attr in ("shape", "dtype", "device"):
        yield node.value
    if isinstance(node, ast.Compare) and isinstance(node.ops[0], (ast.Is, ast.IsNot)):
        yield node.left


def _worded(node: ast.AST) -> Iterator[ast.AST]:
    """What makes up an error, whose words are nobody's business, and the parts of a string."""
    if isinstance(node, ast.Raise):
        yield from ast.walk(node)
    if isinstance(node, ast.JoinedStr):
        yield from node.values
    if isinstance(node, ast.FormattedValue) and node.format_spec:
        yield node.format_spec


def _variable(node: ast.AST) -> str | None:
    """The name of a variable, or of an attribute of the object itself."""
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
        return ast.unparse(node) if node.value.id == "self" else None
    return node.id if isinstance(node, ast.Name) and node.id != "self" else None


def _rebound(call: ast.expr) -> ast.stmt | None:
    """``self.x = self.x.mul(y).add(z)`` of ``self.x.mul_(y).add_(z)``."""
    root = call
    while isinstance(root, ast.Call) and isinstance(root.func, ast.Attribute):
        root = root.func.value
    name = _variable(root)
    if root is call or name is None or "." not in name:
        return None
    value = re.sub(r"\b(mul|add|sub|div)_\(", r"\1(", ast.unparse(call))
    if call.func.attr == "copy_":
        value = f"{ast.unparse(call.args[0])}.clone()"
    return ast.parse(f"{name} = {value}").body[0]


class _Put(ast.NodeTransformer):
    def __init__(self, node: ast.expr):
        self.node = node

    def visit_Name(self, name: ast.Name) -> ast.expr:
        return self.node if name.id == "e" else name


def _watch(tree: ast.FunctionDef, run: Run) -> dict[int, _Seen]:
    """What each expression of the body is, by the node's id."""
    body = [node for statement in tree.body for node in ast.walk(statement)]
    left = {id(part) for node in body for part in _worded(node)}
    nodes = [
        n
        for n in body
        if isinstance(n, ast.expr)
        and id(n) not in left
        and not isinstance(n, ast.Starred)
        and not any(isinstance(part, ast.Slice) for part in (n, *getattr(n, "elts", ())))
        and isinstance(getattr(n, "ctx", ast.Load()), ast.Load)
    ]
    seen = {id(n): _Seen() for n in nodes}
    watched = _Watched({id(n) for n in nodes}).of(tree)
    run(ast.unparse(watched), {"_seen": lambda key, value: seen[key].note(value)})
    return seen


class _Watched(ast.NodeTransformer):
    """A copy in which each of the nodes reports its value."""

    def __init__(self, ids: set[int]):
        self.ids = ids

    def of(self, tree: ast.FunctionDef) -> ast.FunctionDef:
        tree = copy.copy(tree)
        tree.body = [self.visit(statement) for statement in tree.body]
        return tree

    def generic_visit(self, node: ast.AST) -> ast.AST:
        key = id(node)
        new = copy.copy(node)  # its lists are replaced below, not changed
        for name, value in ast.iter_fields(node):
            if isinstance(value, list):
                setattr(new, name, [self.visit(v) if isinstance(v, ast.AST) else v for v in value])
            elif isinstance(value, ast.AST):
                setattr(new, name, self.visit(value))
        if key not in self.ids:
            return new
        return ast.Call(ast.Name("_seen", ast.Load()), [ast.Constant(key), new], [])
