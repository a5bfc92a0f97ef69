"""The kernel is pure: it imports nothing but the standard library and itself."""

import ast
import sys
from pathlib import Path

import pytest

from tollway import kernel

MODULES = sorted(Path(next(iter(kernel.__path__))).glob("*.py"))
_NOT_PURE = frozenset({"asyncio", "os", "random", "socket", "subprocess", "threading", "time"})


@pytest.mark.parametrize("path", MODULES, ids=[path.stem for path in MODULES])
def test_a_kernel_module_imports_only_the_standard_library(path: Path) -> None:
    imported = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            imported |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            imported.add(node.module or "")
    foreign = {name for name in imported if not name.startswith("tollway.kernel")}
    assert {name for name in foreign if name.partition(".")[0] not in sys.stdlib_module_names} == set()
    assert foreign & _NOT_PURE == set()
