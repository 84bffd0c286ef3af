"""Arithmetic of matrices, cell by cell."""

from em.evaluation.maths.tokens import UnreadableError
from em.evaluation.maths.values import MINUS_ONE, Apply, Matrix, Value


def product(a: Value, b: Value) -> Value:
    """Of matrices, of a matrix and a number, or of two numbers."""
    match a, b:
        case Matrix(rows), Matrix(others):
            if len(rows[0]) != len(others):
                raise UnreadableError("a product of matrices that do not fit")
            columns = list(zip(*others, strict=True))
            return Matrix(tuple(tuple(_inner(row, column) for column in columns) for row in rows))
        case Matrix(), _:
            return _scaled(b, a)
        case _, Matrix():
            return _scaled(a, b)
    factors = a.arguments if isinstance(a, Apply) and a.function == "*" else (a,)
    return Apply("*", (*factors, b))


def negative(matrix: Matrix) -> Matrix:
    return _scaled(MINUS_ONE, matrix)


def total(terms: list[Value]) -> Matrix:
    """Raises UnreadableError where they are not all matrices of one shape."""
    matrices = [term.rows for term in terms if isinstance(term, Matrix)]
    if len(matrices) < len(terms) or len({(len(rows), len(rows[0])) for rows in matrices}) > 1:
        raise UnreadableError("a sum of matrices and others")
    rows = zip(*matrices, strict=True)
    return Matrix(tuple(tuple(Apply("+", cells) for cells in zip(*row, strict=True)) for row in rows))


def _scaled(factor: Value, matrix: Matrix) -> Matrix:
    return Matrix(tuple(tuple(Apply("*", (factor, cell)) for cell in row) for row in matrix.rows))


def _inner(row: tuple[Value, ...], column: tuple[Value, ...]) -> Value:
    return Apply("+", tuple(Apply("*", pair) for pair in zip(row, column, strict=True)))
