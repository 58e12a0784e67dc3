"""One node as a process of its own, for tests that kill it: `python node.py URL CACHE_DIR`."""

import asyncio
import signal
import sys

from aerofn.app import Service
from aerofn.observe import configure_logging
from aerofn.settings import from_env


async def main(url: str, cache: str) -> None:
    configure_logging("error")
    settings = from_env(
        {},
        database_url=url,
        cache_dir=cache,
        records_to_stdout=False,
        timeout_ms=1000,
        lease_s=0.5,
        poll_s=0.2,
        shutdown_grace_s=3,
    )
    stop = asyncio.Event()
    service = Service(settings, on_failure=stop.set)
    await service.start()
    print("READY", flush=True)
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    await stop.wait()
    await service.stop()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
