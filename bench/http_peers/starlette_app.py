"""The peer by hand: Starlette, asyncpg and PyJWT, without any sandbox. `/todo` queries under RLS, `/hello` does not."""

import json
import os
from contextlib import asynccontextmanager

import asyncpg
import jwt
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route


@asynccontextmanager
async def lifespan(app):
    app.state.pool = await asyncpg.create_pool(os.environ["DATABASE_URL"], min_size=10, max_size=10)
    yield
    await app.state.pool.close()


async def todo(request):
    try:
        claims = jwt.decode(
            request.headers["authorization"][7:], os.environ["JWT_SECRET"], algorithms=["HS256"]
        )
    except (KeyError, jwt.PyJWTError) as error:
        return JSONResponse({"error": str(error)}, 401)
    body = await request.json()
    async with request.app.state.pool.acquire() as connection, connection.transaction():
        await connection.execute("SET LOCAL ROLE authenticated")
        await connection.fetchval("SELECT set_config('request.jwt.claims', $1, true)", json.dumps(claims))
        row = await connection.fetchrow("SELECT id, title FROM todos WHERE id = $1", body["id"])
    return JSONResponse(dict(row) if row else None)


async def hello(request):
    body = await request.json()
    return JSONResponse({"message": f"Hello, {body['name']}!"})


app = Starlette(
    routes=[Route("/todo", todo, methods=["POST"]), Route("/hello", hello, methods=["POST"])],
    lifespan=lifespan,
)
