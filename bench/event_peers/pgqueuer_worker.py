"""pgqueuer: batches of 200, no bound on what runs together."""

import asyncio
import json
from datetime import timedelta

import asyncpg
import uvloop
from pgqueuer import AsyncpgDriver, PgQueuer
from pgqueuer.models import Job
from worker import URL, Count

SQL = "UPDATE products SET stock = stock - $1 WHERE id = $2"
count = Count()


async def main() -> None:
    """Work until killed."""
    pool = await asyncpg.create_pool(URL, min_size=50, max_size=50)
    queue = PgQueuer(AsyncpgDriver(await asyncpg.connect(URL)))

    @queue.entrypoint("order_created")
    async def order_created(job: Job) -> None:
        order = json.loads(job.payload)
        count.started(order["id"])
        await pool.execute(SQL, order["quantity"], order["product_id"])
        count.ended()

    working = asyncio.create_task(queue.run(batch_size=200, dequeue_timeout=timedelta(seconds=30)))
    await asyncio.sleep(1.5)
    print("READY", flush=True)
    await working


uvloop.run(main())
