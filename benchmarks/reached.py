"""What of the course's modules a page's code can come to, and so what its claims hang on.

A definition is reached if the page, or a definition that is reached, says its name: as a name, an
attribute, a keyword or a string of nothing else. That is more than what runs: two things of one
name are both reached. It is less only where a module's name is put together from parts. What stands
at a module's top level and defines nothing runs with the import and is reached with it; so is what
another function decorates, for that may keep it.
"""

import ast
from collections.abc import Iterable, Iterator
from pathlib import Path

KEEPS_NOTHING = {"cache", "contextmanager", "dataclass", "lru_cache", "no_grad"}
"""Decorators that change what a definition does, and do not write down that it is there."""


def reached(tree: ast.AST, files: Iterable[Path]) -> dict[Path, list[ast.stmt]]:
    """The statements of the modules' top levels, of those modules that have such."""
    modules = {
        path: [
            part
            for statement in ast.parse(path.read_text("utf-8")).body
            for part in _each(statement)
        ]
        for path in sorted(files)
    }
    waiting = {
        (path, i): _defined(statement)
        for path, body in modules.items()
        for i, statement in enumerate(body)
    }
    said, found = set(_said(tree)), set[tuple[Path, int]]()
    while met := {key for key, names in waiting.items() if names is None or names & said}:
        said.update(name for path, i in met for name in _said(modules[path][i]))
        found |= met
        for key in met:
            del waiting[key]
    return {
        path: kept
        for path, body in modules.items()
        if (kept := [s for i, s in enumerate(body) if (path, i) in found])
    }


def _each(statement: ast.stmt) -> list[ast.stmt]:
    """An import of several names as several imports: each is reached by its own."""
    match statement:
        case ast.Import(names=names):
            return [ast.Import([name]) for name in names]
        case ast.ImportFrom(module=module, names=names, level=level):
            return [ast.ImportFrom(module, [name], level) for name in names]
    return [statement]


def _defined(statement: ast.stmt) -> set[str] | None:
    """The names that a statement defines, and does nothing else; None if it does."""
    match statement:
        case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
            marks = {_last(decorator) for decorator in statement.decorator_list}
            return {statement.name} if marks <= KEEPS_NOTHING else None
        case ast.Import() | ast.ImportFrom():
            return {(a.asname or a.name).partition(".")[0] for a in statement.names}
        case ast.Assign(targets=targets):
            parts = [p for t in targets for p in (t.elts if isinstance(t, ast.Tuple) else [t])]
        case ast.AnnAssign(target=target):
            parts = [target]
        case ast.Expr(value=ast.Constant()):
            return set()
        case _:
            return None
    if not all(isinstance(part, ast.Name) for part in parts):
        return None
    return {part.id for part in parts} - {"__all__"}


def _last(decorator: ast.expr) -> str:
    """``dataclass`` of ``@dataclasses.dataclass(frozen=True)``."""
    if isinstance(decorator, ast.Call):
        return _last(decorator.func)
    return decorator.attr if isinstance(decorator, ast.Attribute) else getattr(decorator, "id", "")


def _said(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        match node:
            case ast.Name(id=name) | ast.Attribute(attr=name) | ast.keyword(arg=str(name)):
                yield name
            case ast.Constant(value=str(text)) if text.replace(".", "").isidentifier():
                yield from text.split(".")
            case ast.alias(name=name, asname=other):
                yield from (*name.split("."), *([other] if other else []))
