"""What a function is given when it serves as a backend: `function(task)`.

Made of a request that came through the balancer; made by hand too, to try a function out: `Task(b"...", "image/png")`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Task:
    """One piece of work.

    body: all of it, whatever framing it came in. content_type: as the client has sent it, with its parameters; empty
    where it has sent none. path: as sent, not decoded, without its query. headers: the other fields by their names in
    lower case; of a field that came more than once the values are joined by `, `. query: what follows the path's `?`.
    worker: the name of the process that runs it, such as `images/0`.
    """

    body: bytes
    content_type: str = ""
    path: str = "/"
    headers: Mapping[str, str] = field(default_factory=dict)
    query: str = ""
    method: str = "POST"
    worker: str = ""
