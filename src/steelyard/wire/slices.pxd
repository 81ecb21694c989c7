"""C types for slices.py."""

cimport cython


@cython.locals(raw="const char*")
cpdef bytes cut(bytes data, Py_ssize_t start, Py_ssize_t end)
