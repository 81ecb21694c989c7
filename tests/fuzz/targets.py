"""All that is fuzzed, by name."""

from typing import Final

from tests.fuzz.bodies import CHUNKED
from tests.fuzz.heads import REQUEST, RESPONSE, TRAILERS
from tests.fuzz.target import Target
from tests.fuzz.tasks import TASK
from tests.fuzz.values import COOKIE, FORWARDED, JSON, PATH, QUERY

TARGETS: Final[dict[str, Target]] = {
    target.name: target for target in (REQUEST, CHUNKED, RESPONSE, TRAILERS, FORWARDED, COOKIE, QUERY, JSON, PATH, TASK)
}
