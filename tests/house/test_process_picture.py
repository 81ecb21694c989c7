"""docs/images/processes.svg is what the program's own description of its processes gives."""

import xml.etree.ElementTree as ElementTree

from docs.images import make_process_picture as drawing
from steelyard.processes.description import MESSAGES, PARTS


def texts() -> str:
    """All words of the committed picture."""
    root = ElementTree.fromstring(drawing.PICTURE.read_text(encoding="utf-8"))
    return "\n".join("".join(element.itertext()) for element in root.iter() if element.tag.endswith("}text"))


def test_the_picture_is_the_one_that_is_drawn_now() -> None:
    """Else: python docs/images/make_process_picture.py, and look at it."""
    assert drawing.picture() == drawing.PICTURE.read_text(encoding="utf-8")


def test_every_part_and_all_that_it_does_and_holds_is_in_it() -> None:
    words = texts()
    for part in PARTS:
        assert all(word in words for word in (part.name, *part.does, *part.holds)), part.name


def test_every_message_is_drawn_once_at_its_arrow() -> None:
    pairs = {(message.sender, message.receiver) for message in MESSAGES}
    drawn = [message for pair in pairs for message in drawing.said(*pair)]
    assert sorted(MESSAGES) == sorted(drawn)
    lines = texts().splitlines()
    assert all(any(message.name in line.split() for line in lines) for message in MESSAGES)


def test_no_word_leaves_the_picture() -> None:
    """Letters are counted, not measured: 7 pixels each, which is more than they take."""
    root = ElementTree.fromstring(drawing.picture())
    for element in root.iter():
        if element.tag.endswith("}text"):
            width = 7 * len("".join(element.itertext()))
            x = float(element.attrib["x"])
            left = x - width if "end" in element.attrib.get("class", "").split() else x
            assert 0 <= left <= left + width <= drawing.WIDTH, "".join(element.itertext())


def test_the_table_of_messages_has_a_row_for_each() -> None:
    assert len(MESSAGES) + 2 == len(drawing.messages().splitlines())
