"""tools/twins.py: a .pxd that has left its .py behind is found, and one that agrees is not."""

from pathlib import Path

import pytest

from tools import twins

SOURCE = '''
from steelyard.core.policy import Policy
SIZE = 3
def scan(data, start): return 0
class Head(Policy):
    """A head."""
    kind = 1
    def __init__(self):
        self.end, self.at = 0, 1
    def feed(self, data): return 0
'''
TWIN = '''
"""C types."""
cimport cython
from libc.stdint cimport int64_t
from steelyard.core.policy cimport Policy

cdef extern from *:
    """
    #define ANYTHING(x) (x)
    """
    int64_t anything "ANYTHING"(int64_t x) noexcept

cdef inline int both(int a, int b):
    return a + b

cdef int SIZE  # a global
@cython.locals(
    i=Py_ssize_t,
)
cpdef Py_ssize_t scan(
    bytes data, Py_ssize_t start
) except -1

@cython.final
cdef class Head(Policy):
    cdef public int kind
    cdef readonly Py_ssize_t end, at
    cpdef int feed(self, bytes data) except? -1
'''


def faults(directory: Path, source: str = SOURCE, twin: str = TWIN) -> list[str]:
    (directory / "head.py").write_text(source)
    (directory / "head.pxd").write_text(twin)
    return [fault.removeprefix(f"{directory}/") for fault in twins.faults(directory / "head.pxd")]


def test_twins_that_agree_have_no_fault(tmp_path: Path) -> None:
    assert [] == faults(tmp_path)


def test_the_project_s_own_twins_agree(capsys: pytest.CaptureFixture[str]) -> None:
    source = Path(__file__).parent.parent.parent / "src"
    assert 0 == twins.main([str(source)]), capsys.readouterr().out


@pytest.mark.parametrize(
    ("declaration", "fault"),
    [
        ("cpdef int skan(bytes data)", "head.pxd: skan is not in head.py"),
        ("cdef int SIZE, LENGTH", "head.pxd: LENGTH is not in head.py"),
        ("cdef class Tail:\n    cdef int end", "head.pxd: class Tail is not in head.py"),
        ("cdef class Head:\n    cdef public list runs", "head.pxd: Head.runs is not in head.py"),
        ("cdef class Head:\n    cdef int64_t[::1] cells", "head.pxd: Head.cells is not in head.py"),
        ("cdef class Head:\n    cdef feeed(self, bytes data)", "head.pxd: Head.feeed is not in head.py"),
        (
            "from steelyard.wire.http1 cimport Head",
            "head.pxd: cimports steelyard.wire.http1, which head.py does not import",
        ),
    ],
)
def test_a_name_that_is_only_declared_is_a_fault(tmp_path: Path, declaration: str, fault: str) -> None:
    assert [fault] == faults(tmp_path, twin=f"{TWIN}\n{declaration}\n")


def test_between_rooms_an_import_from_the_same_room_is_enough(tmp_path: Path) -> None:
    assert [] == faults(tmp_path, twin=f"{TWIN}\nfrom steelyard.core.pool cimport Pool\n")


def test_inside_a_room_the_very_module_must_be_imported(tmp_path: Path) -> None:
    (tmp_path / "core").mkdir()
    assert ["head.pxd: cimports steelyard.core.pool, which head.py does not import"] == faults(
        tmp_path / "core", twin=f"{TWIN}\nfrom steelyard.core.pool cimport Pool\n"
    )


def test_a_compiled_module_has_no_coroutine(tmp_path: Path) -> None:
    assert ["head.py:11: async def later in a compiled module"] == faults(
        tmp_path, source=f"{SOURCE}async def later(): ..."
    )


def test_a_compiled_class_has_no_slots(tmp_path: Path) -> None:
    assert ["head.py:11: class Body has __slots__ in a compiled module"] == faults(
        tmp_path, source=f"{SOURCE}class Body: __slots__ = ('a',)"
    )


def test_a_twin_without_its_source_is_a_fault(tmp_path: Path) -> None:
    (tmp_path / "lost.pxd").write_text("cdef int a")
    assert 1 == twins.main([str(tmp_path)])
    assert [f"{tmp_path}/lost.pxd: has no lost.py beside it"] == twins.faults(tmp_path / "lost.pxd")
