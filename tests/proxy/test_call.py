"""What a policy may ask of a client that sends no requests."""

from random import Random

from steelyard.proxy.call import Call


def test_it_has_an_address_and_nothing_else() -> None:
    call = Call("192.0.2.7", Random(7).randrange, 5.0)
    assert "192.0.2.7" == call.get("client_ip") == call.one("client_ip")
    assert [None] * 4 == [call.get(name) for name in ("path", "host", "header:x", "cookie:y")]
    assert (5.0, None, True) == (call.now, call.tried, call.whole)
