"""What a process says becomes lines, whatever pieces it comes in."""

from hypothesis import given
from hypothesis import strategies as st

from steelyard.backends.output import KEPT, LONGEST_BYTES, Lines


@given(st.lists(st.text("ab é\t", max_size=20), max_size=8), st.data())
def test_the_pieces_do_not_matter(texts: list[str], data: st.DataObject) -> None:
    whole = "".join(f"{text}\n" for text in texts).encode()
    lines, found, at = Lines(), [], 0
    while at < len(whole):
        end = data.draw(st.integers(at + 1, len(whole)))
        found += lines.feed(whole[at:end])
        at = end
    assert texts == found + lines.end()


def test_a_line_without_end_is_passed_on_in_pieces() -> None:
    lines = Lines()
    found = [line for _ in range(10) for line in lines.feed(b"x" * 1000)]
    found += lines.end()
    assert "x" * 10_000 == "".join(found)
    assert LONGEST_BYTES == max(map(len, found))


def test_what_is_not_text_and_a_carriage_return_do_no_harm() -> None:
    assert ["a\\xff", "b"] == Lines().feed(b"a\xff\r\nb\n")


def test_it_can_neither_move_the_cursor_nor_forge_a_line() -> None:
    said = "\x1b[2J\x07\rFAKE\x0b\x0c\x9b31m\u2028next\u202e\x00\ttab é\n".encode()
    shown = r"\x1b[2J\x07\rFAKE\x0b\x0c\x9b31m\u2028next\u202e\x00" + "\ttab é"
    lines = Lines()
    assert [shown] == lines.feed(said)
    assert [shown] == list(lines.last)


def test_the_latest_lines_are_kept_but_for_empty_ones() -> None:
    lines = Lines()
    lines.feed(b"".join(b"%d\n\n" % number for number in range(KEPT + 3)))
    assert [str(number) for number in range(3, KEPT + 3)] == list(lines.last)


def test_at_the_end_a_line_that_has_none_is_one() -> None:
    lines = Lines()
    assert [] == lines.feed(b"no end")
    assert (["no end"], [], ["no end"]) == (lines.end(), lines.end(), list(lines.last))
