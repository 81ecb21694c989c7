"""wire/grammar.py: which bytes may stand where."""

import string

from steelyard.wire import grammar

LETTERS_AND_DIGITS = set((string.ascii_letters + string.digits).encode())


def allowed(table: bytes) -> set[int]:
    assert 256 == len(table)
    return {c for c in range(256) if table[c]}


def test_a_token_is_made_of_the_characters_that_rfc_9110_lists() -> None:
    assert LETTERS_AND_DIGITS | set(b"!#$%&'*+-.^_`|~") == allowed(grammar.TOKEN)


def test_the_token_table_lowers_letters_and_nothing_else() -> None:
    for c in allowed(grammar.TOKEN):
        assert chr(c).lower() == chr(grammar.TOKEN[c])


def test_a_value_has_no_control_character_but_tab() -> None:
    assert set(range(256)) - (set(range(32)) - {9}) - {127} == allowed(grammar.VALUE)


def test_a_target_is_visible_ascii_without_a_fragment() -> None:
    assert set(range(33, 127)) - {ord("#")} == allowed(grammar.TARGET)


def test_a_host_has_no_userinfo_no_path_and_no_byte_beyond_ascii() -> None:
    assert LETTERS_AND_DIGITS | set(b"-._~!$&'()*+,;=:%[]") == allowed(grammar.HOST_CHARS)


def test_the_named_characters_are_those_characters() -> None:
    named = (grammar.CR, grammar.LF, grammar.SP, grammar.HTAB, grammar.COLON, grammar.UNDERSCORE)
    assert b"\r\n \t:_" == bytes(named)
