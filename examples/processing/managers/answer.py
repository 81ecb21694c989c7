"""What the managers answer: JSON that says which worker it was."""

import json
from typing import Any

from steelyard import Task


def said(task: Task, result: dict[str, Any]) -> tuple[str, str]:
    """A result as the balancer wants it: a body and its content type."""
    return json.dumps({"worker": task.worker, **result}, ensure_ascii=False), "application/json"
