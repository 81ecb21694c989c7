"""What serves is said in a line for each listener, and a list that nobody would read is cut."""

from steelyard.control import config
from steelyard.processes.ready_lines import ready_lines
from steelyard.proxy.bind import key_of

SPEC = config.from_mapping(
    {
        "listeners": {
            "web": {"bind": ":80", "pool": "a"},
            "api": {"bind": ":81", "routes": [{"path": "/x", "pool": "b"}, {"path": "/y", "pool": "b"}, {"pool": "a"}]},
            "up": {"bind": ":82", "routes": [{"respond": {}}]},
            "local": {"bind": "unix:/run/a.sock", "pool": "b"},
            "mail": {"bind": ":25", "protocol": "tcp", "pool": "c"},
        },
        "pools": {
            "b": {"backends": ["c:1"], "policy": "random"},
            "a": {"backends": [f"h:{port}" for port in range(1, 12)]},
            "c": {"backends": ["m:25"]},
        },
    }
)

LINES = """\
listening on http://web.example.org:80 -> pool a (round_robin): h:1, h:2, h:3, h:4, h:5, h:6, h:7, h:8 and 3 more
listening on http://api.example.org:80 -> pool b (random): c:1; pool a (round_robin): h:1, h:2, h:3, h:4, h:5, h:6, \
h:7, h:8 and 3 more
listening on http://up.example.org:80 -> fixed answers
listening on unix:/run/a.sock -> pool b (random): c:1
listening on tcp://mail.example.org:80 -> pool c (round_robin): m:25
"""


def test_local_backends_are_called_by_their_names() -> None:
    spec = config.from_mapping(
        {
            "listeners": {"web": {"bind": ":80", "pool": "own"}},
            "pools": {"own": {"backends": [{"run": "app --port {port}", "processes": 2}]}},
        }
    )
    expected = "listening on http://here:80 -> pool own (round_robin): own/0, own/1"
    assert [expected] == ready_lines(spec, {key_of(spec.listeners[0]): "here:80"})


def test_each_listener_is_said_with_where_its_requests_go() -> None:
    addresses = {key_of(one): one.address if one.path else f"{one.name}.example.org:80" for one in SPEC.listeners}
    assert LINES.splitlines() == ready_lines(SPEC, addresses)
