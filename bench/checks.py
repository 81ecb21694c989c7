"""Before anything is measured: does the balancer do the work, and do it right?

Every path answers 200 with the very bytes that the backend has; all three backends get their share; the
backend sees Host as it was sent and the fields that each balancer has to add. A balancer that does less is not
measured.
"""

import http.client
from collections.abc import Sequence

from bench.failure import BenchError
from bench.workload import CASES, HOST, Case, body


def check_answers(name: str, port: int, cases: Sequence[Case] = CASES) -> None:
    """Raises BenchError when an answer is not 200, or not the right bytes."""
    for case in cases:
        # Enough for every backend to be asked.
        for _ in range(4):
            status, content = _get(port, case.path, case.fields)
            expected = body(case.body_bytes)
            if status != 200 or content != expected:
                said = f"status {status} and {len(content)} bytes instead of 200 and {len(expected)}"
                raise BenchError(f"{name}: GET {case.path} gave {said}" + _difference(content, expected))


def check_work(name: str, port: int, backend_ports: Sequence[int]) -> None:
    """Raises BenchError when a backend gets nothing, or does not see the fields it should."""
    served: set[str] = set()
    for _ in range(3 * len(backend_ports)):
        status, content = _get(port, "/seen", CASES[0].fields)
        if status != 200:
            raise BenchError(f"{name}: GET /seen gave status {status}")
        seen = dict(line.partition("=")[::2] for line in content.decode().splitlines())
        if missing := wrong_fields(seen):
            raise BenchError(f"{name} does not do the same work as the others: {missing}")
        served.add(seen["port"])
    if served != {str(port) for port in backend_ports}:
        raise BenchError(f"{name}: only the backends on ports {', '.join(sorted(served))} were asked")


def wrong_fields(seen: dict[str, str]) -> str:
    """What the backend saw wrong, in words; empty when all is well."""
    expected = {"host": HOST, "for": "127.0.0.1", "proto": "http", "fhost": HOST, "real": "127.0.0.1"}
    differing = [(key, value) for key, value in expected.items() if seen.get(key) != value]
    wrong = [f"{key} is {seen.get(key)!r} instead of {value!r}" for key, value in differing]
    if not seen.get("via", "").startswith("1.1 "):
        wrong.append(f"via is {seen.get('via')!r} instead of '1.1 NAME'")
    return "; ".join(wrong)


def _get(port: int, path: str, fields: Sequence[tuple[str, str]]) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", path, headers=dict(fields))
        reply = connection.getresponse()
        return reply.status, reply.read()
    except (OSError, http.client.HTTPException) as exc:
        raise BenchError(f"GET {path} through port {port} failed: {exc!r}") from exc
    finally:
        connection.close()


def _difference(content: bytes, expected: bytes) -> str:
    if len(content) != len(expected):
        return ""
    at = next((at for at, (got, wanted) in enumerate(zip(content, expected, strict=True)) if got != wanted), None)
    return "" if at is None else f" that differ at byte {at}"
