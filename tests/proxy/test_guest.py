"""A client's connection that is not HTTP: counted while it is there. Seen through TCP."""

from steelyard.core.crowd import Crowd, crowd_cells
from steelyard.core.door import CONNECTIONS
from tests.fakes import World
from tests.proxy.test_tcp import connect, linked


def test_the_door_counts_a_connection_as_long_as_it_is_open(world: World) -> None:
    door = world.context.door
    client, _ = linked(world)
    assert (1, 1) == (door.table.total(door.row, CONNECTIONS), len(world.context.downstreams))
    client.reset()
    assert (0, 0) == (door.table.total(door.row, CONNECTIONS), len(world.context.downstreams))


def test_a_client_that_has_too_many_connections_is_reset(world: World) -> None:
    door = world.context.door
    cells = memoryview(bytearray(8 * crowd_cells(8))).cast("q")
    world.context.crowd = Crowd(door.table, door.row, cells, 0, len(cells), 1)
    first, _ = linked(world)
    second = connect(world)
    assert ("open", "reset") == (first.end, second.end)
    assert [(0, "crowded")] == world.outcomes
    first.reset()
    third, _ = linked(world)
    assert "open" == third.end
