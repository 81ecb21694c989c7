"""Fuzzing of all that reads bytes from outside (`make fuzz`), and the properties that its corpus is replayed against.

It lies with the tests because its properties are theirs: the same oracles judge, and whatever a fuzzer found is
replayed by an ordinary test (tests/wire/test_corpus.py) on every build.
"""
