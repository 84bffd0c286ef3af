"""What a script of tests needs of an answer.  The script alone decides, never the answer.

A name that it uses and does not define is the answer's.  A builtin is the answer's if no other name is (one problem of
MBPP asks for a function `sum`), and a module of Python's library, of which it uses an attribute, is that module.

The script runs in the judge (em.evaluation.sandbox.judge), unless it needs more of the answer than plain data and
objects that stay there: then it runs beside the program, in the answer's interpreter, and an answer that is written
against that can cheat.  So it is if the script

- gives the answer a function, class or generator of its own;
- asks for the class of an object by a name of the answer (isinstance, issubclass, except, a class statement);
- asks by `is` whether two objects are one, unless one of them is None, True, False or Ellipsis;
- reads an attribute of the answer that begins with an underscore.
"""

import ast
import builtins
import symtable
import sys
import threading
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache

BUILTINS = frozenset(dir(builtins))
SINGLETONS = (None, True, False, ...)

_compiler = threading.RLock()


@contextmanager
def compiler() -> Iterator[None]:
    """Around all that compiles or parses: one thread at a time, and no warnings.

    Python 3.11 counts the depth of a syntax tree per process, and raises SystemError in a thread whose count another
    one has changed (python/cpython#106905).  A warning that is an error somewhere must not decide a grade, and
    catch_warnings() changes the process.
    """
    with _compiler, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@dataclass(frozen=True)
class Script:
    source: str
    names: tuple[str, ...]  # what it takes from the answer
    modules: tuple[str, ...]  # what it uses of Python's library without importing it
    objects: bool  # it makes objects of the answer's classes: a name begins with a capital
    beside: bool  # it has to run in the answer's interpreter
    leaves_traces: bool  # it uses modules, whose state it may change


@dataclass(frozen=True)
class Names:
    """Of a module."""

    bound: frozenset[str]
    used: frozenset[str]  # and not bound, neither there nor by a function that uses them; builtins too


def names_of(source: str) -> Names:
    """Raises SyntaxError."""
    with compiler():
        top = symtable.symtable(source, "<names>", "exec")
    bound, used = set[str](), set[str]()

    def visit(table: symtable.SymbolTable) -> None:
        for symbol in table.get_symbols():
            name = symbol.get_name()
            binds = symbol.is_assigned() or symbol.is_imported() or symbol.is_namespace()
            if binds and (table is top or symbol.is_declared_global()):
                bound.add(name)
            if symbol.is_referenced() and (table is top or symbol.is_global()):
                used.add(name)
        for child in table.get_children():
            visit(child)

    visit(top)
    return Names(frozenset(bound), frozenset(used - bound))


@lru_cache(maxsize=64)  # samples of one problem come together, and a script of EvalPlus may have 100 kB
def read(source: str) -> Script:
    """Raises SyntaxError."""
    free = names_of(source).used
    with compiler():
        tree = ast.parse(source)
    nodes = [*ast.walk(tree)]
    owners = {node.value.id for node in nodes if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name)}
    modules = (free & owners & sys.stdlib_module_names) - BUILTINS
    names = {name for name in free - BUILTINS - modules if not name.startswith("__")}
    if not names:
        called = {node.func.id for node in nodes if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)}
        names = free & called
    own = own_code(nodes)
    return Script(
        source,
        names=tuple(sorted(names)),
        modules=tuple(sorted(modules)),
        objects=any(name[0].isupper() for name in names),
        beside=any(needs_more(node, names, own) for node in nodes),
        leaves_traces=bool(modules) or any(isinstance(node, ast.Import | ast.ImportFrom) for node in nodes),
    )


def own_code(nodes: Iterable[ast.AST]) -> set[str]:
    """Functions and classes that the script defines."""
    defined = {node.name for node in nodes if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)}
    for node in nodes:
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Lambda | ast.GeneratorExp):
            defined |= {target.id for target in node.targets if isinstance(target, ast.Name)}
    return defined


def needs_more(node: ast.AST, names: Iterable[str], own: set[str]) -> bool:
    if isinstance(node, ast.Call):
        if isinstance(node.func, ast.Name) and node.func.id in ("isinstance", "issubclass"):
            return any(mentions(argument, names) for argument in node.args[1:])
        given = [*node.args, *(keyword.value for keyword in node.keywords)]
        return mentions(node.func, names) and any(hands_over(argument, own) for argument in given)
    if isinstance(node, ast.ClassDef):
        return any(mentions(base, names) for base in node.bases)
    if isinstance(node, ast.ExceptHandler):
        return node.type is not None and mentions(node.type, names)
    if isinstance(node, ast.Compare) and any(isinstance(operator, ast.Is | ast.IsNot) for operator in node.ops):
        sides = [node.left, *node.comparators]
        single = any(isinstance(side, ast.Constant) and side.value in SINGLETONS for side in sides)
        return not single and any(mentions(side, names) for side in sides)
    return isinstance(node, ast.Attribute) and node.attr.startswith("_") and mentions(node.value, names)


def mentions(node: ast.AST, names: Iterable[str]) -> bool:
    return any(isinstance(part, ast.Name) and part.id in names for part in ast.walk(node))


def hands_over(argument: ast.AST, own: set[str]) -> bool:
    """Whether an argument holds code of the script, rather than what it gives when called."""
    parts = [*ast.walk(argument)]
    callees = {id(part.func) for part in parts if isinstance(part, ast.Call)}
    consumed = {id(each) for part in parts if isinstance(part, ast.Call) for each in part.args}
    return any(
        isinstance(part, ast.Lambda)
        or (isinstance(part, ast.GeneratorExp) and id(part) not in consumed)
        or (isinstance(part, ast.Name) and part.id in own and id(part) not in callees)
        for part in parts
    )
