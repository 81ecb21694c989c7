"""What is said between the processes, and by whom, is what the list says: no more and no less."""

import ast
from pathlib import Path

from steelyard.processes import description
from steelyard.processes.description import CONTROL, MESSAGES, NAMES, PARTS, SUPERVISOR, WORKER

SOURCES = Path(description.__file__).parent
SENDS = {"send", "ask", "_asked", "_ask"}


def said_in(path: Path) -> set[tuple[str, str]]:
    """(of what, name) of each message that a module sends: what `send` is called on says to whom."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in SENDS:
            for argument in node.args[:1]:
                if isinstance(argument, ast.Constant) and isinstance(argument.value, str):
                    found.add((ast.unparse(node.func.value), argument.value))
    return found


def listed(sender: str, receiver: str | None = None) -> set[str]:
    return {one.name for one in MESSAGES if one.sender == sender and receiver in (None, one.receiver)}


def heard_in(path: Path, function: str) -> set[str]:
    """The messages that a function tells apart."""
    functions = (
        node
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    )
    (found,) = [node for node in functions if node.name == function]
    cases = (node.pattern for node in ast.walk(found) if isinstance(node, ast.match_case))
    each = [one for case in cases for one in (case.patterns if isinstance(case, ast.MatchOr) else [case])]
    return {ast.literal_eval(one.value) for one in each if isinstance(one, ast.MatchValue)}


def test_the_control_process_says_what_is_listed() -> None:
    said = said_in(SOURCES / "control_process.py") | said_in(SOURCES / "commands.py")
    assert listed(CONTROL, SUPERVISOR) == {name for _, name in said}
    assert listed(CONTROL) == listed(CONTROL, SUPERVISOR)


def test_a_worker_only_answers() -> None:
    assert {"answer"} == {name for _, name in said_in(SOURCES / "worker_process.py")} == listed(WORKER)


def test_the_supervisor_says_what_is_listed() -> None:
    said = {name for _, name in said_in(SOURCES.parent / "supervisor.py") | said_in(SOURCES / "children.py")}
    assert listed(SUPERVISOR) == said | {"stop"}


def test_each_part_hears_what_is_said_to_it() -> None:
    assert listed(CONTROL, SUPERVISOR) == heard_in(SOURCES.parent / "supervisor.py", "_on_control")
    assert listed(SUPERVISOR, CONTROL) == heard_in(SOURCES / "control_process.py", "_on_message")
    assert listed(SUPERVISOR, WORKER) == heard_in(SOURCES / "worker_process.py", "_do") | {"stop"}


def test_no_message_is_listed_twice_and_each_is_between_two_parts() -> None:
    assert len(MESSAGES) == len({one[:3] for one in MESSAGES})
    assert {one.name for one in PARTS} == {one.sender for one in MESSAGES} == {one.receiver for one in MESSAGES}
    assert {one.name for one in MESSAGES} == NAMES
