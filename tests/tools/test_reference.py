"""tools/reference.py: the page lists every key of the file, with the default and the reason that the program has."""

import re

from steelyard.control.models import File
from steelyard.control.shapes import Shape
from tools import reference


def rows(page: str, place: str) -> dict[str, list[str]]:
    """Key -> the other cells of its row, in the section of this place."""
    section = page.split(f"\n## {place}\n" if place == "The file" else f"\n## `{place}`\n", 1)[1].split("\n## ", 1)[0]
    table = [re.split(r"(?<!\\)\|", line)[1:-1] for line in section.splitlines() if line.startswith("| `")]
    return {cells[0].strip(" `"): [cell.strip() for cell in cells[1:]] for cells in table}


PAGE = "\n" + reference.reference()


def test_every_mapping_of_the_file_has_a_section() -> None:
    def count(shape: type[Shape]) -> set[type[Shape]]:
        return {shape}.union(*(count(direct) for direct in shape.__subclasses__()))

    shown = {shape for _, shape in reference.places(File)}
    ours = {shape for shape in count(Shape) - {Shape} if shape.__module__.startswith("steelyard.")}
    assert ours == shown
    # A breaker has two: one for each place that it may be in.
    assert len(list(reference.places(File))) == PAGE.count("\n## ")


def test_every_key_of_every_mapping_has_a_row() -> None:
    for place, shape in reference.places(File):
        keys = {field.alias for field in shape.model_fields.values()}
        assert keys == set(rows(PAGE, place or "The file"))


def test_a_place_says_whether_it_is_named_or_one_of_a_list() -> None:
    places = [place for place, _ in reference.places(File)]
    assert "" == places[0]
    assert {"listeners.NAME", "listeners.NAME.routes[]", "pools.NAME.backends[]", "pools.NAME.health_check"} < set(
        places
    )


def test_a_default_is_written_as_in_the_file_with_its_reason() -> None:
    _, default, why = rows(PAGE, "pools.NAME.health_check")["interval"]
    assert "`2s`" == default
    assert why.startswith("as HAProxy")
    assert "`32KiB`" == rows(PAGE, "listeners.NAME")["max_head"][1]
    assert "`20%`" == rows(PAGE, "pools.NAME.retry")["budget"][1]


def test_what_must_be_given_is_said() -> None:
    assert "must be given" == rows(PAGE, "listeners.NAME")["bind"][1]


def test_what_markdown_would_take_for_a_mark_is_meant_as_it_stands() -> None:
    assert r"X-Forwarded-\*" in rows(PAGE, "listeners.NAME")["trusted_proxies"][0]
