"""Run the example without containers: a uvicorn replica for each backend of the configuration, and the balancer.

    python run.py [CONFIG]

The balancer runs in this program, the replicas in processes of their own. Ctrl-C ends them all.
"""

import asyncio
import os
import signal
import sys
from asyncio.subprocess import Process
from contextlib import suppress
from pathlib import Path

from steelyard import LoadBalancer

HERE = Path(__file__).resolve().parent


async def start_replica(name: str, port: int) -> Process:
    """A replica that listens on a port of this machine."""
    options = ["--host", "127.0.0.1", "--port", str(port), "--log-level", "warning"]
    return await asyncio.create_subprocess_exec(
        *[sys.executable, "-m", "uvicorn", "app:app", "--app-dir", str(HERE), *options],
        env={**os.environ, "REPLICA": name},
        process_group=0,  # a Ctrl-C is for this program, which then ends its replicas
    )


async def until_listening(port: int, replica: Process) -> None:
    """Wait until a replica accepts connections; one that ends instead is an error."""
    while replica.returncode is None:
        with suppress(OSError):
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.close()
            return
        await asyncio.sleep(0.05)
    raise SystemExit(f"the replica on port {port} ended with status {replica.returncode}")


async def main(config: Path) -> None:
    balancer = LoadBalancer(config)
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    ports = [backend.port for backend in balancer.spec.pools[0].backends]
    replicas = [await start_replica(f"replica-{number}", port) for number, port in enumerate(ports, 1)]
    try:
        for port, replica in zip(ports, replicas, strict=True):
            await until_listening(port, replica)
        async with balancer:
            print(f"listening on http://{balancer.address('web')} -> {len(ports)} replicas", flush=True)
            await stop.wait()
    finally:
        for replica in replicas:
            if replica.returncode is None:
                replica.terminate()
            await replica.wait()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]) if sys.argv[1:] else HERE / "steelyard.yaml"))
