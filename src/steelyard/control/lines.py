"""YAML text -> plain data in which every scalar is the text that was written, and the line of every part.

YAML 1.1 reads `off` as false, `1:30` as ninety and `010` as eight. Here no scalar is guessed at: each stays as
written, and the field that takes it says what it means (fields.py). `${NAME}` and `${NAME:-default}` read
the environment, `$$` is a plain `$`; the environment can change values, never the shape of the file.
Merge keys (`<<: *defaults`) are understood; a key written twice is an error.

A file cannot exhaust the machine: how deep it nests is looked at before libyaml makes a tree of it (which calls
itself for each level), and how much its aliases repeat is counted on the way ("billion laughs").
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import yaml

from steelyard.control import syntax, unsaid
from steelyard.control.unshown import Filled
from steelyard.errors import ConfigError, Problem

# The deepest key there is stands seven levels down.
MAX_DEPTH: Final = 50
# A thousand pools that share a list of a hundred backends; what repeats more is not written by hand.
MAX_REPEATED: Final = 100_000

# libyaml reads 10,000 backends in 0.3 s, PyYAML's own parser in 1.2 s; it works where PyYAML was built without.
_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

_VARIABLE = re.compile(r"\$\$|\$\{([A-Za-z_][A-Za-z0-9_]*)(?:(:-)([^}]*))?\}|\$\{")
_NULL_TAG = "tag:yaml.org,2002:null"
_MERGE_TAG = "tag:yaml.org,2002:merge"

Path = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Place:
    """Where a part was written. raw: the text before `${...}` was replaced, if that changed it."""

    line: int
    raw: str | None = None


@dataclass(slots=True)
class Page:
    """A file as read. data: dicts, lists, texts and None; places: path -> place of every part of data.

    blamed: the paths that problems have already been found at.
    """

    name: str
    data: Any = None
    places: dict[Path, Place] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    blamed: set[Path] = field(default_factory=set)

    def where(self, path: Path) -> str:
        """`file:line` of the innermost part of the path that was written."""
        while path and path not in self.places:
            path = path[:-1]
        return f"{self.name}:{self.places[path].line}" if path in self.places else self.name

    def add(
        self, path: Path, message: str, value: str | None = None, mend: str | None = None, named: Path | None = None
    ) -> None:
        """Note a problem of the part at path. named: the path to name, where that is not the one with the line."""
        named = path if named is None else named
        self.blamed.add(named)
        self.problems.append(Problem(self.where(path), dotted(named) or "file", message, value, mend))


def dotted(path: Path) -> str:
    """`pools.web.backends[0]`, without what may be a secret that was taken for a key."""
    text = ""
    for part in unsaid.sayable(path):
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def read(text: str, name: str, environ: Mapping[str, str]) -> Page:
    """Read the text; what is wrong with it as YAML is in the page's problems, and data is then what could be read."""
    page = Page(name)
    try:
        _check_depth(text, name)
        root = _composed(text)
        if root is not None:
            _Reader(page, environ).read(root, ())
    except yaml.YAMLError as exc:
        page.problems.append(syntax.problem(exc, text, name))
    except ConfigError as exc:
        page.problems += exc.problems
    return page


def _check_depth(text: str, name: str) -> None:
    """Raises ConfigError for a text that nests too deep; what is not YAML at all ends in a YAMLError."""
    depth = 0
    try:
        for event in yaml.parse(text, Loader=_Loader):
            if isinstance(event, yaml.CollectionStartEvent):
                depth += 1
                if depth > MAX_DEPTH:
                    assert event.start_mark is not None
                    raise _too_deep(f"{name}:{event.start_mark.line + 1}", "YAML")
            elif isinstance(event, yaml.CollectionEndEvent):
                depth -= 1
    except yaml.MarkedYAMLError as exc:
        # libyaml has a limit of its own (1000, with PyYAML 6.0.4), which its scanner meets before there is an event.
        if exc.problem_mark is not None and "nesting depth" in str(exc.problem):
            raise _too_deep(f"{name}:{exc.problem_mark.line + 1}", "YAML") from exc
        raise


def _too_deep(where: str, key: str) -> ConfigError:
    message = f"is nested more than {MAX_DEPTH} levels deep"
    return ConfigError(
        [Problem(where, key, message, mend="look for brackets that are not closed, or for wrong indentation")]
    )


def _composed(text: str) -> yaml.Node | None:
    """The text's nodes, which still know their lines; None for an empty file."""
    loader = _Loader(text)
    try:
        root: yaml.Node | None = loader.get_single_node()
        return root
    finally:
        loader.dispose()


class _Reader:
    """Walks the nodes of one page."""

    def __init__(self, page: Page, environ: Mapping[str, str]) -> None:
        self.page = page
        self.environ = environ
        self.open: set[int] = set()  # the collections around the one being read, to see one inside itself
        self.seen: set[int] = set()
        self.repeated = 0

    def read(self, root: yaml.Node, path: Path) -> None:
        self.page.data = self.value(root, path, root.start_mark.line + 1)

    def value(self, node: yaml.Node, path: Path, line: int) -> Any:
        """line: of the key or dash before the node, which is where people look for a whole mapping or list.

        Raises ConfigError where aliases make more of the file than can be meant.
        """
        self.count(node, path)
        if isinstance(node, yaml.ScalarNode):
            return self.scalar(node, path)
        self.page.places[path] = Place(line)
        if id(node) in self.open:
            self.page.add(path, "contains itself", mend="an alias (*name) must not stand inside what it names")
            return None
        if len(path) >= MAX_DEPTH:
            raise _too_deep(self.page.where(path[:1]), dotted(path[:1]))
        self.open.add(id(node))
        data: Any
        if isinstance(node, yaml.MappingNode):
            data = self.mapping(node, path)
        else:
            data = [self.value(item, (*path, i), item.start_mark.line + 1) for i, item in enumerate(node.value)]
        self.open.discard(id(node))
        return data

    def count(self, node: yaml.Node, path: Path) -> None:
        """Count a node that an alias brings again."""
        if id(node) not in self.seen:
            self.seen.add(id(node))
            return
        self.repeated += 1
        if self.repeated > MAX_REPEATED:
            message = f"aliases (*name) repeat more than {MAX_REPEATED} values"
            raise ConfigError(
                [Problem(self.page.where(path[:1]), dotted(path[:1]), message, mend="write fewer of them")]
            )

    def mapping(self, node: yaml.MappingNode, path: Path) -> dict[str, Any]:
        data: dict[str, Any] = {}
        lines: dict[str, int] = {}
        merged: list[yaml.Node] = []
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            if key_node.tag == _MERGE_TAG:
                merged += _merged(value_node)
                continue
            if not isinstance(key_node, yaml.ScalarNode):
                problem = Problem(f"{self.page.name}:{line}", dotted(path) or "file", "a key must be one word")
                self.page.problems.append(problem)
                continue
            key: str = key_node.value
            if key in lines:
                where = f"{self.page.name}:{line}"
                message = f"is written twice, first in line {lines[key]}"
                self.page.problems.append(Problem(where, dotted((*path, key)), message, mend="keep one of the two"))
                continue
            lines[key] = line
            data[key] = self.value(value_node, (*path, key), line)
        self.merge(merged, path, data)
        return data

    def merge(self, merged: list[yaml.Node], path: Path, data: dict[str, Any]) -> None:
        """Add the keys of `<<: *source` that are not written out (YAML 1.1 merge keys), the nearest ones first."""
        waiting = merged[::-1]
        done: set[int] = set()  # a second time it adds nothing; and it may lead back to itself
        while waiting:
            source = waiting.pop()
            if id(source) in done:
                continue
            done.add(id(source))
            if not isinstance(source, yaml.MappingNode) or id(source) in self.open:
                where = f"{self.page.name}:{source.start_mark.line + 1}"
                mend = "write <<: *name, where name is another mapping"
                self.page.problems.append(Problem(where, dotted((*path, "<<")), "is not a mapping", mend=mend))
                continue
            further: list[yaml.Node] = []
            for key_node, value_node in source.value:
                if key_node.tag == _MERGE_TAG:  # what it merges itself
                    further += _merged(value_node)
                elif isinstance(key_node, yaml.ScalarNode) and key_node.value not in data:
                    line = key_node.start_mark.line + 1
                    data[key_node.value] = self.value(value_node, (*path, key_node.value), line)
            waiting += reversed(further)

    def scalar(self, node: yaml.ScalarNode, path: Path) -> str | None:
        line = node.start_mark.line + 1
        self.page.places[path] = Place(line)
        if node.tag == _NULL_TAG:
            if not node.value:
                self.page.add(path, "has no value", mend="write one, or take the key out")
            return None
        text: str = _VARIABLE.sub(lambda match: self.variable(match, path), node.value)
        if text != node.value:
            self.page.places[path] = Place(line, node.value)
            return Filled(text, node.value)
        return text

    def variable(self, match: re.Match[str], path: Path) -> str:
        """What stands for one `$$` or `${...}`."""
        name, has_default, default = match.group(1, 2, 3)
        if match[0] == "$$":
            return "$"
        if name is None:
            self.page.add(path, "has a '${' that is not ${NAME}", mend="write $${ for a plain ${")
            return ""
        value = self.environ.get(name)
        if has_default:
            return value or default  # as a shell: `:-` also stands in for an empty variable
        if value is None:
            mend = f"set it, or write ${{{name}:-default}}"
            self.page.add(path, f"the environment variable {name} is not set", mend=mend)
            return ""
        return value


def _merged(node: yaml.Node) -> list[yaml.Node]:
    """The mappings that a merge key names: one, or a list of them."""
    return list(node.value) if isinstance(node, yaml.SequenceNode) else [node]
