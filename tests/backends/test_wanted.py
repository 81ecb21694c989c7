"""What the owner of local backends is told of one goes through a message, and comes out as it was."""

import json

import pytest

from steelyard.backends.wanted import Wanted
from tests.backends.fakes import a_wanted


@pytest.mark.parametrize("path", [None, "/run/web-0"])
def test_it_comes_out_of_json_as_it_went_in(path: str | None) -> None:
    wanted = a_wanted(path=path, argv=("serve", "a b"), environment={"NAME": "ü"}, core=3)
    assert wanted == Wanted.of(json.loads(json.dumps(wanted.words())))


@pytest.mark.parametrize(("path", "address"), [(None, "127.0.0.1:1"), ("/run/web-0", "unix:/run/web-0")])
def test_it_is_called_by_its_address_as_any_backend_is(path: str | None, address: str) -> None:
    assert address == a_wanted(path=path).address
