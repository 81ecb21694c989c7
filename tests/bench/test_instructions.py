"""Instruction counts are read from valgrind's report, and start-up falls out of them."""

import pytest

from bench import instructions
from bench.failure import BenchError


def test_the_total_is_read() -> None:
    assert 146332232 == instructions.instructions("==9366== \n==9366== I   refs:      146,332,232\n")


def test_a_report_without_a_total_is_an_error() -> None:
    with pytest.raises(BenchError, match="no count"):
        instructions.instructions("==1== nothing")


def test_start_up_falls_out(monkeypatch: pytest.MonkeyPatch) -> None:
    def counted(source: str) -> int:
        few, many = instructions.ROUNDS
        return 1_000_000 + 7 * (few if f"range({few})" in source else many)

    monkeypatch.setattr(instructions, "counted", counted)
    assert 7 == instructions.per_round("pass")


@pytest.mark.parametrize("statement", [*instructions.STEPS.values(), "pass"])
def test_every_counted_program_runs(statement: str) -> None:
    exec(compile(instructions.program(statement, 1), "counted", "exec"), {})
