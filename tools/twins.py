"""Hold every .pxd twin against its .py: names that exist on one side only compile, and surprise later.

    python -m tools.twins [SOURCE_DIRECTORY]     one line for each fault, exit status 1 if there is one

A twin gives C types to what its .py defines, so each function, class, method and attribute declared there must be in
the .py. A compiled module has no `async def` (the request path is callbacks, which cost no task) and no `__slots__`
(an extension type has its own). Where a twin cimports from another room, or from a module of its own room, the .py must
import from there too: import-linter reads only the .py, and would not see the edge.
"""

import ast
import re
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

CLASS: Final = re.compile(r"^cdef\s+class\s+(\w+)")
# The name before `(` on a line that declares a function: what stands between is its C type.
FUNCTION: Final = re.compile(r"^(?:cdef|cpdef)\s+(?!class\b|extern\b)[^(=]*?(\w+)\s*\(")
ATTRIBUTES: Final = re.compile(r"^cdef\s+(?!class\b|extern\b)([^(]+)$")
CIMPORT: Final = re.compile(r"^from\s+(steelyard[\w.]*)\s+cimport\b|^cimport\s+(steelyard[\w.]*)")
INLINE: Final = re.compile(r"^(?:cdef|cpdef)\s+inline\b.*:$")


@dataclass(slots=True)
class Names:
    """What one side defines: functions and globals at the top, and what each class has."""

    top: set[str] = field(default_factory=set)
    classes: dict[str, set[str]] = field(default_factory=dict)


def declared(text: str) -> tuple[Names, set[str]]:
    """The names that a .pxd declares of its own module, and the modules of ours that it cimports.

    Blocks that bring C code in (`cdef extern`) and inline functions with a body belong to the .pxd alone.
    """
    names = Names()
    cimported: set[str] = set()
    owner: str | None = None
    foreign_indent: int | None = None
    for raw in text.splitlines():
        line = raw.split("#", 1)[0].rstrip()
        if not line.strip():
            continue
        indent = len(line) - len(line.lstrip())
        line = line.strip()
        if foreign_indent is not None:
            if indent > foreign_indent:
                continue
            foreign_indent = None
        if indent == 0:
            owner = None
        if line.startswith("cdef extern") or INLINE.match(line):
            foreign_indent = indent
        elif match := CIMPORT.match(line):
            cimported.add(match[1] or match[2])
        elif match := CLASS.match(line):
            owner = match[1]
            names.classes.setdefault(owner, set())
        else:
            target = names.top if owner is None else names.classes[owner]
            if match := FUNCTION.match(line):
                target.add(match[1])
            elif match := ATTRIBUTES.match(line):
                first, *others = match[1].split(",")
                target.update(re.split(r"[\s*\]]+", part.strip())[-1] for part in [first, *others])
    return names, cimported


def defined(tree: ast.Module) -> Names:
    """The names that a .py defines: an attribute is what any method assigns to `self`, or the class body names."""
    names = Names(top=_bound(tree.body))
    for node in tree.body:
        if isinstance(node, ast.ClassDef):
            members = _bound(node.body)
            for inner in ast.walk(node):
                if isinstance(inner, ast.Attribute) and isinstance(inner.ctx, ast.Store):
                    members.add(inner.attr)
            names.classes[node.name] = members
    return names


def _bound(body: list[ast.stmt]) -> set[str]:
    """The names that these statements bind, also under `if` and `try`."""
    bound: set[str] = set()
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            bound.add(node.name)
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            bound.update(n.id for target in targets for n in ast.walk(target) if isinstance(n, ast.Name))
        elif isinstance(node, ast.Import | ast.ImportFrom):
            bound.update(alias.asname or alias.name for alias in node.names)
        elif isinstance(node, ast.If | ast.Try):
            bound |= _bound(node.body) | _bound(node.orelse)
            for handler in getattr(node, "handlers", ()):
                bound |= _bound(handler.body)
    return bound


def _imports(tree: ast.Module) -> set[str]:
    """Every module that a .py imports from, with each imported name as a possible submodule."""
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            found.add(node.module)
            found.update(f"{node.module}.{alias.name}" for alias in node.names)
    return found


def _sees(imported: set[str], module: str, own_room: str) -> bool:
    """Whether import-linter sees this cimport's edge: by module inside a room, by room between two."""
    room = ".".join(module.split(".")[:2])
    if room == f"steelyard.{own_room}":
        return module in imported
    return any(name == room or name.startswith(f"{room}.") for name in imported)


def faults(twin: Path) -> list[str]:
    """What is wrong with one .pxd, a sentence each."""
    source = twin.with_suffix(".py")
    if not source.exists():
        return [f"{twin}: has no {source.name} beside it"]
    tree = ast.parse(source.read_text(), str(source))
    names, cimported = declared(twin.read_text())
    ours = defined(tree)
    found = [f"{twin}: {name} is not in {source.name}" for name in sorted(names.top - ours.top)]
    for owner, members in names.classes.items():
        if owner not in ours.classes:
            found.append(f"{twin}: class {owner} is not in {source.name}")
        else:
            found += [
                f"{twin}: {owner}.{name} is not in {source.name}" for name in sorted(members - ours.classes[owner])
            ]
    unseen = [module for module in sorted(cimported) if not _sees(_imports(tree), module, own_room=twin.parent.name)]
    found += [f"{twin}: cimports {module}, which {source.name} does not import" for module in unseen]
    for node in ast.walk(tree):
        if isinstance(node, ast.AsyncFunctionDef):
            found.append(f"{source}:{node.lineno}: async def {node.name} in a compiled module")
        elif isinstance(node, ast.ClassDef) and "__slots__" in ours.classes.get(node.name, ()):
            found.append(f"{source}:{node.lineno}: class {node.name} has __slots__ in a compiled module")
    return found


def main(arguments: list[str]) -> int:
    root = Path(arguments[0] if arguments else "src")
    found = [fault for twin in sorted(root.rglob("*.pxd")) for fault in faults(twin)]
    print("\n".join(found) if found else f"{len(list(root.rglob('*.pxd')))} .pxd twins agree with their sources")
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
