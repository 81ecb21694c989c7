"""Numerical processing: mean, deviation and quantiles of numbers."""

import json
import math
import statistics as standard
from typing import Any

from managers.answer import said
from steelyard import Task, TaskRefused

NDJSON = "application/x-ndjson"


def numbers(task: Task) -> tuple[str, str]:
    """Their statistics, in JSON; the task is a JSON array, or NDJSON with one a line."""
    return said(task, statistics(read(task.body, task.content_type)))


def read(body: bytes, content_type: str) -> list[float]:
    """The numbers of a JSON array, or of NDJSON, one a line; empty lines do not count. Raises TaskRefused."""
    try:
        text = body.decode()
    except UnicodeDecodeError as exc:
        raise TaskRefused(f"the numbers are no UTF-8: {exc}") from exc
    if content_type.partition(";")[0].strip().lower() == NDJSON:
        lines = text.split("\n")
        found = [_number(_parsed(line, at), f"line {at}") for at, line in enumerate(lines, 1) if line.strip()]
    else:
        array = _parsed(text, None)
        if not isinstance(array, list):
            raise TaskRefused(f"an array of numbers is asked for, and not {_a(array)}")
        found = [_number(value, f"number {at}") for at, value in enumerate(array, 1)]
    if not found:
        raise TaskRefused("there is no number")
    return found


def statistics(values: list[float]) -> dict[str, Any]:
    """Count, mean, standard deviation (of a sample; none for a single number) and quantiles. Raises TaskRefused."""
    try:
        mean = standard.fmean(values)
        # hypot and not a sum of squares, which overflows long before its root does.
        spread = math.hypot(*[value - mean for value in values])
        quartiles = standard.quantiles(values, n=4, method="inclusive") if len(values) > 1 else values * 3
        if not all(map(math.isfinite, (spread, *quartiles))):
            raise OverflowError
    except OverflowError as exc:
        raise TaskRefused("the numbers are too large to be added up") from exc
    return {
        "count": len(values),
        "mean": mean,
        "deviation": spread / math.sqrt(len(values) - 1) if len(values) > 1 else None,
        "quantiles": {
            "min": min(values),
            **dict(zip(("25%", "50%", "75%"), quartiles, strict=True)),
            "max": max(values),
        },
    }


def _parsed(text: str, line: int | None) -> Any:
    where = "" if line is None else f"line {line}: "
    try:
        return json.loads(text)
    except json.JSONDecodeError as exc:
        place = f"column {exc.colno}" if line is not None else f"line {exc.lineno} column {exc.colno}"
        raise TaskRefused(f"{where}no JSON: {exc.msg} at {place}") from exc
    except (ValueError, RecursionError) as exc:  # a number of thousands of digits; a thousand brackets
        raise TaskRefused(f"{where}too large or too deep to be read") from exc


def _number(value: Any, where: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TaskRefused(f"{where}: is {_a(value)}, and no number")
    try:
        number = float(value)
    except OverflowError as exc:
        raise TaskRefused(f"{where}: is too large") from exc
    if not math.isfinite(number):
        raise TaskRefused(f"{where}: is not finite")
    return number


def _a(value: Any) -> str:
    """What it is in JSON."""
    names = {dict: "an object", list: "an array", str: "a string", bool: "true or false", type(None): "null"}
    return names.get(type(value), "a number")
