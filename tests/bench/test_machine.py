"""Versions are read from what each program says of itself."""

import pytest

from bench.machine import short_version


@pytest.mark.parametrize(
    ("output", "version"),
    [
        ("nginx version: nginx/1.22.1\n", "1.22.1"),
        ("HAProxy version 2.6.12-1+deb12u4 2026/10/17 - https://haproxy.org/\nStatus: long-term", "2.6.12-1+deb12u4"),
        ("wrk debian/4.1.0-3+b2 [epoll] Copyright (C) 2012 Will Glozer\n", "4.1.0-3+b2"),
        ("This is ApacheBench, Version 2.3 <$Revision$>\nCopyright 1996", "2.3"),
        ("steelyard 0.1.0 (interpreted)\n", "0.1.0 (interpreted)"),
        ("steelyard 0 from source (compiled)\n", "0 from source (compiled)"),
        ("12.2.0\n", "12.2.0"),
        ("No module named steelyard.__main__", ""),
    ],
)
def test_the_version_is_found(output: str, version: str) -> None:
    assert version == short_version(output)
