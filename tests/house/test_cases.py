"""Every case has a row in docs/cases.md and a test of its number in tests/cases, in the file of its part."""

import ast
import re
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parent.parent.parent
# The parts that there are: A to H, M. (77 to 84 are of parts that there are not: admin, TLS, PROXY protocol, HTTP/2.)
NUMBERS: Final = {*range(1, 77), *range(85, 89)}


def rows() -> dict[int, str]:
    """The part of each case that docs/cases.md has a row for."""
    found: dict[int, str] = {}
    part = ""
    for line in (ROOT / "docs" / "cases.md").read_text(encoding="utf-8").splitlines():
        if heading := re.match(r"## ([A-Z])\. ", line):
            part = heading[1]
        elif row := re.match(r"\| (\d+) \|", line):
            number = int(row[1])
            assert number not in found, f"case {number} has two rows"
            found[number] = part
    return found


def functions() -> list[tuple[int, str, ast.AsyncFunctionDef]]:
    """Number, part and function of each test there is."""
    found = []
    for file in sorted((ROOT / "tests" / "cases").glob("test_*.py")):
        part = file.name.removeprefix("test_")[0].upper()
        for node in ast.parse(file.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.AsyncFunctionDef) and node.name.startswith("test_"):
                number = re.match(r"test_case_(\d\d)_", node.name)
                assert number, f"{file.name}: {node.name} does not begin with test_case_NN_"
                found.append((int(number[1]), part, node))
    return found


def test_every_case_has_a_row() -> None:
    assert NUMBERS == rows().keys()


def test_every_case_has_a_test_in_the_file_of_its_part() -> None:
    assert rows() == {number: part for number, part, _ in functions()}


def test_every_test_says_what_must_happen_and_why() -> None:
    for number, _, function in functions():
        assert ast.get_docstring(function), f"case {number}: {function.name} has no docstring"
