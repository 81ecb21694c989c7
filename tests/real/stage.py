"""A balancer in front of a few scripted backends."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from tests.real.backends import Backend, Script, backend
from tests.real.support import Running, one_pool, running


@asynccontextmanager
async def stage(*scripts: Script, **pool: object) -> AsyncIterator[tuple[Running, list[Backend]]]:
    """A balancer in front of a backend for each script, in round robin from the first one on."""
    async with AsyncExitStack() as stack:
        made = [await stack.enter_async_context(backend(script, str(n))) for n, script in enumerate(scripts)]
        lb = await stack.enter_async_context(running(one_pool(*[one.port for one in made], pool=pool)))
        yield lb, made
