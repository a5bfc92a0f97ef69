"""Dialects stay readable: what is long in other gateways is short here."""

import ast
from pathlib import Path

import dataplane.dialects

FOLDER = Path(dataplane.dialects.__file__).parent
LONGEST_FUNCTION = 60


def lengths() -> dict[str, int]:
    """Lines of each function in the dialects, by where it is."""
    return {
        f"{path.relative_to(FOLDER)}:{node.lineno} {node.name}": (node.end_lineno or 0) - node.lineno + 1
        for path in FOLDER.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }


def test_no_function_of_a_dialect_is_longer_than_a_screen() -> None:
    found = lengths()
    assert len(found) > 500
    assert {place: lines for place, lines in found.items() if lines > LONGEST_FUNCTION} == {}
