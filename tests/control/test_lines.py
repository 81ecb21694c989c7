"""Every scalar is the text that was written, every part has its line, the environment is read where it is named."""

from itertools import pairwise
from typing import Any

import pytest
import yaml

from steelyard.control import lines


def read(text: str, **environ: str) -> lines.Page:
    return lines.read(text, "a.yaml", environ)


def said(page: lines.Page) -> list[str]:
    return [str(problem) for problem in page.problems]


@pytest.mark.parametrize(
    "text", ["off", "on", "no", "1:30", "010", "0x10", "1_000", "1e3", "2026-07-01", "3.0", "<<", "="]
)
def test_a_scalar_is_the_text_that_was_written(text: str) -> None:
    page = read(f"a: {text}\n")
    assert ({"a": text}, []) == (page.data, said(page))


def test_keys_are_texts_too() -> None:
    page = read("8080: a\non: b\n")
    assert {"8080": "a", "on": "b"} == page.data


def test_null_is_none_and_an_absent_value_is_a_problem() -> None:
    page = read("a: ~\nb: null\nc:\nd: ''\ne: [1, ]\nf:\n  - \n")
    assert {"a": None, "b": None, "c": None, "d": "", "e": ["1"], "f": [None]} == page.data
    assert [
        "a.yaml:3: c: has no value; write one, or take the key out",
        "a.yaml:7: f[0]: has no value; write one, or take the key out",
    ] == said(page)


def test_every_part_knows_its_line() -> None:
    page = read("a:\n  b: 1\n  c:\n    - x\n    - {d: 2,\n       e: 3}\n")
    lines_of = {lines.dotted(path): place.line for path, place in page.places.items()}
    assert {"": 1, "a": 1, "a.b": 2, "a.c": 3, "a.c[0]": 4, "a.c[1]": 5, "a.c[1].d": 5, "a.c[1].e": 6} == lines_of


def test_where_is_the_innermost_part_that_was_written() -> None:
    page = read("\na: {b: 1}\n")
    assert "a.yaml:2" == page.where(("a", "x", "y"))
    assert "a.yaml" == lines.Page("a.yaml").where(("a",))


def test_a_key_written_twice_is_a_problem_and_the_first_one_counts() -> None:
    page = read("a:\n  b: 1\n  c: 2\n  b: 3\n")
    assert ["a.yaml:4: a.b: is written twice, first in line 2; keep one of the two"] == said(page)
    assert {"a": {"b": "1", "c": "2"}} == page.data


@pytest.mark.parametrize(("expected", "text"), [("file", "? [a]\n: b\n"), ("a", "a:\n  ? {b: c}\n  : d\n")])
def test_a_key_that_is_a_list_or_a_mapping_is_a_problem(expected: str, text: str) -> None:
    page = read(text)
    assert [f"{expected}: a key must be one word"] == [line.partition(": ")[2] for line in said(page)]


@pytest.mark.parametrize(
    ("expected", "text"),
    [
        ("x", "${A}"),
        ("axb", "a${A}b"),
        ("x-x", "${A}-${A}"),
        ("x", "${A:-y}"),
        ("y", "${B:-y}"),
        ("y", "${EMPTY:-y}"),
        ("", "${EMPTY}"),
        ("", "${B:-}"),
        ("${A}", "$${A}"),
        ("$A", "$A"),
        ("$", "$$"),
        ("5$", "5$"),
        ("http://h:1", "${B:-http://h:1}"),
    ],
)
def test_variables_are_replaced_as_in_a_shell(expected: str, text: str) -> None:
    page = read(f'a: "{text}"\n', A="x", EMPTY="")
    assert ({"a": expected}, []) == (page.data, said(page))


def test_a_variable_cannot_change_the_shape_or_be_null() -> None:
    page = read("a: ${A}\nb: ${B}\n", A="{c: 1}", B="null")
    assert {"a": "{c: 1}", "b": "null"} == page.data


def test_a_key_is_no_place_for_a_variable() -> None:
    assert {"${A}": "1"} == read("${A}: 1\n", A="x").data


def test_a_variable_that_is_not_set_is_a_problem() -> None:
    page = read("a:\n  b: x${NAME}\n")
    assert ["a.yaml:2: a.b: the environment variable NAME is not set; set it, or write ${NAME:-default}"] == said(page)
    assert {("a", "b")} == page.blamed


@pytest.mark.parametrize("text", ["${1A}", "${}", "${A", "${A:?no}"])
def test_what_begins_like_a_variable_must_be_one(text: str) -> None:
    page = read(f'a: "{text}"\n', A="x")
    assert ["a.yaml:1: a: has a '${' that is not ${NAME}; write $${ for a plain ${"] == said(page)


def test_a_replaced_value_remembers_what_was_written() -> None:
    page = read("a: ${A}\nb: x\n", A="1")
    assert ("${A}", None) == (page.places["a",].raw, page.places["b",].raw)


def test_an_alias_stands_for_what_it_names() -> None:
    page = read("a: &x {b: 1}\nc: *x\nd: *x\n")
    assert ({"a": {"b": "1"}, "c": {"b": "1"}, "d": {"b": "1"}}, []) == (page.data, said(page))


def test_a_merge_key_adds_what_is_not_written_out() -> None:
    page = read("a: &x {b: 1, c: 2}\ne: &y {c: 5, f: 6}\nd:\n  <<: [*x, *y]\n  b: 3\ng:\n  <<: *x\n")
    assert ({"b": "3", "c": "2", "f": "6"}, []) == (page.data["d"], said(page))
    assert {"b": "1", "c": "2"} == page.data["g"]
    assert 1 == page.places["d", "c"].line
    page = read("a: &x\n  b: {c: 1}\nd: {<<: *x}\n")
    assert (3, 2, 2) == tuple(page.places[path].line for path in [("d",), ("d", "b"), ("d", "b", "c")])


def test_what_is_merged_may_have_a_merge_key_of_its_own() -> None:
    """`<<` within `*b` was an unknown key of whoever merged it. The nearest mapping wins."""
    page = read(
        "a: &a {k: 1, l: 1, m: 1}\nb: &b {<<: *a, l: 2, m: 2}\nc: {<<: *b, m: 3}\nd: {<<: [*b, {k: 4, n: 4}]}\n"
    )
    assert ({"k": "1", "l": "2", "m": "3"}, []) == (page.data["c"], said(page))
    assert {"k": "1", "l": "2", "m": "2", "n": "4"} == page.data["d"]


def test_a_long_chain_of_merge_keys_and_one_that_leads_back_come_to_an_end() -> None:
    chain = "a0: &a0 {k: x}\n" + "".join(f"a{n}: &a{n} {{<<: [*a{n - 1}, *a{n - 1}]}}\n" for n in range(1, 300))
    page = read(chain)
    assert ({"k": "x"}, []) == (page.data["a299"], said(page))
    page = read("a: &x {k: 1, <<: {<<: *x}}\nb: {<<: *x}\n")
    assert {"k": "1"} == page.data["b"]
    assert ["a.yaml:1: a.<<: is not a mapping; write <<: *name, where name is another mapping"] == said(page)


@pytest.mark.parametrize(
    ("expected", "text"),
    [
        (["a.yaml:1: a: contains itself; an alias (*name) must not stand inside what it names"], "a: &x {b: *x}\n"),
        (["a.yaml:1: a.<<: is not a mapping; write <<: *name, where name is another mapping"], "a: &x {<<: *x}\n"),
        (["a.yaml:2: b.<<: is not a mapping; write <<: *name, where name is another mapping"], "a: 1\nb: {<<: 2}\n"),
    ],
)
def test_what_contains_itself_or_cannot_be_merged_is_a_problem(expected: list[str], text: str) -> None:
    assert [line.replace("a.b: ", "a: ") for line in said(read(text))] == expected


LAUGHS = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{name}: &{name} [{','.join(['*' + before] * 9)}]\n" for before, name in pairwise("abcdefghi")
)


def test_aliases_of_aliases_are_refused_before_they_fill_the_memory() -> None:
    """Nine lines stand for 400 million values here."""
    page = read(LAUGHS)
    (problem,) = page.problems
    assert None is page.data
    assert "a.yaml:" == problem.where[:7]
    assert ("aliases (*name) repeat more than 100000 values", "write fewer of them") == (problem.message, problem.mend)


def test_a_large_file_may_repeat_a_good_deal() -> None:
    repeated = "a: &a [" + "x," * 100 + "]\n" + "".join(f"b{number}: *a\n" for number in range(900))
    page = read(repeated)
    assert (901, []) == (len(page.data), said(page))
    many = read("a:\n" + "".join(f"  - {{address: a:{number}, weight: 2}}\n" for number in range(50_000)))
    assert (50_000, []) == (len(many.data["a"]), said(many))


DEEP = "is nested more than 50 levels deep; look for brackets that are not closed, or for wrong indentation"


@pytest.mark.parametrize("loader", [lines._Loader, yaml.SafeLoader])
@pytest.mark.parametrize(
    ("line", "text"),
    [
        (1, "[" * 51 + "]" * 51),
        (2, "a:\n" + " " + "[" * 3000 + "]" * 3000),
        (1, "[" * 3000),
        (1, "{a: " * 5000 + "1" + "}" * 5000),
        (51, "".join(" " * depth + "a:\n" for depth in range(500))),
        (1, "- " * 500 + "x"),
        (1, "? " * 500 + "x"),
    ],
)
def test_a_file_is_not_nested_without_end(
    line: int, text: str, loader: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lines, "_Loader", loader)
    page = read(text)
    assert (None, [f"a.yaml:{line}: YAML: {DEEP}"]) == (page.data, said(page))


def test_a_hundred_thousand_open_brackets_do_not_end_the_process() -> None:
    """libyaml's composer calls itself for each level, which the stack of a process does not survive."""
    assert [f"a.yaml:1: YAML: {DEEP}"] == said(read("[" * 100_000 + "]" * 100_000))


def test_fifty_levels_are_read() -> None:
    page = read("[" * 50 + "]" * 50)
    assert [] == said(page)


def test_aliases_cannot_nest_deeper_than_brackets() -> None:
    """A line for each level, none of them deep: `b: &b [*a]`."""
    chain = "a0: &a0 [x]\n" + "".join(f"a{n}: &a{n} [*a{n - 1}]\n" for n in range(1, 3000))
    page = read(chain)
    assert (None, [f"a.yaml:50: a49: {DEEP}"]) == (page.data, said(page))
    merged = "a0: &a0 {k: x}\n" + "".join(f"a{n}: &a{n} {{k: {{<<: *a{n - 1}}}}}\n" for n in range(1, 3000))
    page = read(merged)
    assert (None, [f"a.yaml:50: a49: {DEEP}"]) == (page.data, said(page))


def test_an_odd_key_of_a_merged_mapping_is_left_out() -> None:
    page = read("a: &x {b: 1, [c]: 2}\nd: {<<: *x}\n")
    assert {"b": "1"} == page.data["d"]


@pytest.mark.parametrize(
    ("expected", "path"),
    [("", ()), ("a", ("a",)), ("a.b[0].c", ("a", "b", 0, "c")), ("a[1][2]", ("a", 1, 2))],
)
def test_a_path_is_shown_with_dots_and_indexes(expected: str, path: Any) -> None:
    assert expected == lines.dotted(path)


def test_an_empty_file_has_no_data() -> None:
    page = read("# nothing\n")
    assert (None, []) == (page.data, said(page))
