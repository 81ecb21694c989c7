"""The one exception of the benchmark: a run that cannot give honest figures ends with it."""


class BenchError(Exception):
    """Something is missing, wrong or uneven; the message says what and how to mend it."""
