"""procrastinate: fifty at a time."""

import asyncio

import procrastinate
import psycopg_pool
import uvloop
from worker import URL, Count

SQL = "UPDATE products SET stock = stock - %s WHERE id = %s"
app = procrastinate.App(connector=procrastinate.PsycopgConnector(conninfo=URL, min_size=10, max_size=10))
pool = psycopg_pool.AsyncConnectionPool(
    URL, min_size=20, max_size=20, kwargs={"autocommit": True}, open=False
)
count = Count()


@app.task(name="order_created", queue="default")
async def order_created(id: int, product_id: int, quantity: int) -> None:  # noqa: A002
    """The function."""
    count.started(id)
    async with pool.connection() as connection:
        await connection.execute(SQL, (quantity, product_id))
    count.ended()


async def main() -> None:
    """Work until killed."""
    await pool.open(wait=True)
    async with app.open_async():
        working = asyncio.create_task(app.run_worker_async(concurrency=50, install_signal_handlers=False))
        await asyncio.sleep(1.5)
        print("READY", flush=True)
        await working


if __name__ == "__main__":  # the installation imports the app
    uvloop.run(main())
