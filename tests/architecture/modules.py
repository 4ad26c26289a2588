"""Our Python modules as syntax trees: what each imports and how long its parts are."""

import ast
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PRODUCT = ("shared", "services", "relaydesk")
OURS = frozenset({*PRODUCT, "tests", "examples", "bench"})
STDLIB = sys.stdlib_module_names


@dataclass(frozen=True)
class Module:
    path: Path
    name: str
    tree: ast.Module

    @property
    def imports(self) -> frozenset[str]:
        """Dotted names of everything imported, also inside functions; `from a import b` counts as `a.b`."""
        return frozenset(name for node in ast.walk(self.tree) for name in self._imported(node))

    @property
    def libraries(self) -> frozenset[str]:
        """Top-level names of the third-party packages it imports."""
        tops = {name.partition(".")[0] for name in self.imports}
        return frozenset(
            top for top in tops if top not in STDLIB and top not in (*PRODUCT, "tests", "examples", "bench")
        )

    @property
    def lines(self) -> int:
        return len(self.path.read_text().splitlines())

    def functions(self) -> Iterator[tuple[str, int]]:
        """(name, length in lines) of every function and method."""
        for node in ast.walk(self.tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                yield node.name, (node.end_lineno or node.lineno) - node.lineno + 1

    def _imported(self, node: ast.AST) -> Iterator[str]:
        match node:
            case ast.Import(names=names):
                yield from (alias.name for alias in names)
            case ast.ImportFrom(module=module, names=names, level=level):
                base = self._package(level) + (f".{module}" if level and module else module or "")
                yield from (f"{base}.{alias.name}" for alias in names)
            case _:
                return

    def _package(self, level: int) -> str:
        if level == 0:
            return ""
        parts = self.name.split(".") if self.path.name == "__init__.py" else self.name.split(".")[:-1]
        return ".".join(parts[: len(parts) - level + 1])


@cache
def modules(*folders: str) -> tuple[Module, ...]:
    """Every module below the folders of the repository, in order."""
    return tuple(_module(path) for folder in folders for path in sorted((ROOT / folder).rglob("*.py")))


def _module(path: Path) -> Module:
    parts = path.relative_to(ROOT).with_suffix("").parts
    name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
    return Module(path, name, ast.parse(path.read_text(), str(path)))
