"""One wrong value: what is wrong with it and how to mend it, before anybody knows where it was written.

The functions that read a value (units, addresses, fields) and the checks over several values (models) raise
these. They know neither file nor line; problems.py adds the place and makes an `errors.Problem` of each.
Both are ValueErrors, as pydantic passes those on from a validator and goes on to the next value.
"""


class Fault(ValueError):
    """Why a value cannot be taken.

    message: what is wrong, without the value itself. mend: what to write instead.
    value: what to show as the value; None shows what is written at the place.
    at: keys and indexes from the value that was being checked down to the one to blame.
    key: the key to name in place of the last of these, where it is not written and that one only stands for it.
    """

    def __init__(
        self,
        message: str,
        mend: str | None = None,
        value: str | None = None,
        at: tuple[str | int, ...] = (),
        key: str | None = None,
    ):
        super().__init__(message)
        self.message = message
        self.mend = mend
        self.value = value
        self.at = at
        self.key = key


class Faults(ValueError):
    """Several faults that one check found at once."""

    def __init__(self, faults: list[Fault]):
        super().__init__("; ".join(fault.message for fault in faults))
        self.faults = faults
