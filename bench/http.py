"""HTTP side by side: AeroFn's sandboxes and servers written by hand, one process each, on one PostgreSQL.

`make bench-http`. Needs wrk (Debian's package), Node and npm; the peers are installed into .peers/http.
`ARGS='--runs 1 --seconds 2'` for a quick look. Requests go to this machine only.
"""

import argparse
import asyncio
import contextlib
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import NamedTuple

import asyncpg
import jwt

from aerofn.build import build
from aerofn.db.embedded import EmbeddedPostgres
from aerofn.db.migrate import migrate
from aerofn.settings import from_env
from bench.figures import tell

HERE = Path(__file__).resolve().parent
PEERS = HERE.parent / ".peers" / "http"
SECRET = "the benchmarks' secret of the tokens, 32 and more"
ROW = b'{"id": 123}', {"id": 123, "title": "todo number 123"}
GREETING = b'{"name": "World"}', {"message": "Hello, World!"}
SCHEMA = """
CREATE TABLE todos (id int PRIMARY KEY, owner text NOT NULL, title text NOT NULL);
INSERT INTO todos SELECT g, (g % 100)::text, 'todo number ' || g FROM generate_series(1, 10000) g;
ALTER TABLE todos ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON todos USING (owner = {me});
GRANT SELECT ON todos TO authenticated;
VACUUM ANALYZE todos
"""
OURS = "(SELECT aerofn.uid())"
BY_HAND = "current_setting('request.jwt.claims', true)::jsonb ->> 'sub'"
LOGIN = """
CREATE ROLE bench_authenticator LOGIN NOINHERIT PASSWORD 'bench';
GRANT authenticated TO bench_authenticator
"""


class Load(NamedTuple):
    """What wrk saw."""

    per_second: float
    p99_ms: float


class Subject(NamedTuple):
    """A server and the path that does the work."""

    name: str
    command: list[str]
    environment: dict[str, str]
    todo: str | None
    hello: str | None


def main() -> None:
    """Measure every subject in turn, `runs` times over, and tell the ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=6)
    options = parser.parse_args()
    for tool in ("wrk", "node", "npm"):
        if shutil.which(tool) is None:
            raise SystemExit(f"bench/http.py needs {tool}: apt-get install {tool}")
    with tempfile.TemporaryDirectory() as folder, EmbeddedPostgres(Path(folder) / "postgres") as postgres:
        ours, by_hand = asyncio.run(prepared(postgres.url, Path(folder)))
        measure(subjects(ours, by_hand, Path(folder)), options.runs, options.seconds)


async def prepared(server: str, folder: Path) -> tuple[str, str]:
    """Two databases with the same table: ours with the functions, and one for the servers by hand; their URLs."""
    admin = await asyncpg.connect(server)
    urls = [f"{server.rsplit('/', 1)[0]}/{name}" for name in ("bench_ours", "bench_by_hand")]
    for url, me in zip(urls, (OURS, BY_HAND), strict=True):
        await admin.execute(f"CREATE DATABASE {url.rsplit('/', 1)[1]}")
        connection = await asyncpg.connect(url)
        if me == OURS:
            await register(connection, url, folder)
        for statement in SCHEMA.format(me=me).split(";\n"):
            await connection.execute(statement)
        await connection.close()
    await admin.execute(LOGIN)
    await admin.close()
    return urls[0], urls[1]


async def register(connection: asyncpg.Connection, url: str, folder: Path) -> None:
    """Install AeroFn and its functions: two in JavaScript, one compiled."""
    await migrate(connection, from_env({}, database_url=url))
    components = {"compiled": HERE / "guests" / "compiled.wasm"}
    for name in ("todo", "hello"):
        components[f"{name}-js"] = folder / f"{name}.wasm"
        build(HERE / "guests" / f"{name}.js", components[f"{name}-js"])
    for name, component in components.items():
        await connection.execute("SELECT aerofn.register_function($1, $2)", name, component.read_bytes())


def subjects(our_url: str, their_url: str, folder: Path) -> list[Subject]:
    """AeroFn twice (JavaScript, compiled) and the peers."""
    install_peers()
    login = re.sub(r"//[^@]*@", "//bench_authenticator:bench@", their_url)
    by_hand = {"DATABASE_URL": login, "JWT_SECRET": SECRET, "NODE_ENV": "production"}
    ours = {
        "DATABASE_URL": our_url,
        "AEROFN_JWT_SECRET": SECRET,
        "AEROFN_CACHE_DIR": str(folder / "cache"),
        "AEROFN_RECORDS_TO_STDOUT": "false",
        "AEROFN_LOG_LEVEL": "error",
    }
    serve = [sys.executable, "-m", "aerofn", "serve", "--port", "{port}"]
    uvicorn = [sys.executable, "-m", "uvicorn", "--app-dir", str(PEERS), "starlette_app:app"]
    quiet = ["--port", "{port}", "--no-access-log", "--log-level", "warning"]
    workerd = [str(PEERS / "node_modules" / ".bin" / "workerd"), "serve", str(PEERS / "{port}.capnp")]
    return [
        Subject("aerofn js", serve, ours, "/functions/v1/todo-js", "/functions/v1/hello-js"),
        Subject("aerofn compiled", serve, ours, "/functions/v1/compiled", "/functions/v1/compiled"),
        Subject("starlette", [*uvicorn, *quiet], by_hand, "/todo", "/hello"),
        Subject("node", ["node", str(PEERS / "node_server.mjs")], by_hand, "/todo", "/hello"),
        Subject("workerd", workerd, {}, None, "/"),
    ]


def install_peers() -> None:
    """Put the peers' programs and packages into .peers/http."""
    shutil.copytree(HERE / "http_peers", PEERS, dirs_exist_ok=True)
    subprocess.run(["npm", "install", "--silent", "--no-audit", "--no-fund"], cwd=PEERS, check=True)


def measure(all_subjects: list[Subject], runs: int, seconds: int) -> None:
    """Each run measures every subject, so that what slows the machine slows all of them."""
    seen: dict[tuple[str, str], list[Load]] = {}
    for run in range(runs):
        for subject in all_subjects:
            for work in ("todo", "hello"):
                path = getattr(subject, work)
                if path is None:
                    continue
                print(f"run {run + 1}/{runs}: {subject.name} {work}", file=sys.stderr)
                with served(subject) as origin:
                    body, wanted = ROW if work == "todo" else GREETING
                    check(origin + path, body, wanted)
                    load(origin + path, body, 2)
                    seen.setdefault((subject.name, work), []).append(load(origin + path, body, seconds))
    report(seen)


def report(seen: dict[tuple[str, str], list[Load]]) -> None:
    """The figures of the issue, and each subject's own."""
    for (name, work), loads in seen.items():
        rates = [one.per_second for one in loads]
        tell(f"{work}: {name}", rates, "requests/s", more={"p99_ms": median(one.p99_ms for one in loads)})
    for figure, ours, work, peer, goal in (
        ("http_rls_js_ratio", "aerofn js", "todo", "starlette", 0.8),
        ("http_rls_compiled_ratio", "aerofn compiled", "todo", "starlette", 1.0),
        ("http_rls_node_ratio", "aerofn js", "todo", "node", 1.0),
        ("http_hello_ratio", "aerofn compiled", "hello", "workerd", 0.5),
    ):
        rates = [one.per_second for one in seen[ours, work]]
        peers = [one.per_second for one in seen[peer, work]]
        tell(figure, rates, "requests/s", peer=peer, peer_runs=peers, goal=goal)
    slowest = [[one.p99_ms for one in seen[name, "hello"]] for name in ("aerofn compiled", "workerd")]
    tell("http_hello_p99_ms", slowest[0], "ms", peer="workerd", peer_runs=slowest[1], goal=1.0)


@contextlib.contextmanager
def served(subject: Subject) -> Iterator[str]:
    """The subject's server on a free port, until the end of the block."""
    port = free_port()
    template = (HERE / "http_peers" / "workerd.capnp").read_text()
    (PEERS / f"{port}.capnp").write_text(template.replace("PORT", str(port)))
    environment = {"PATH": os.environ["PATH"], "PORT": str(port), **subject.environment}
    command = [part.replace("{port}", str(port)) for part in subject.command]
    server = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
    try:
        wait_for(port, server)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait(30)
        (PEERS / f"{port}.capnp").unlink()


def wait_for(port: int, server: subprocess.Popen[bytes]) -> None:
    """Return once the server accepts connections."""
    for _ in range(600):
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        if server.poll() is not None:
            raise SystemExit(f"{server.args} ended with {server.returncode}")
        time.sleep(0.05)
    raise SystemExit(f"{server.args} does not listen")


def free_port() -> int:
    """A port that nobody has now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def token() -> str:
    """The caller's: sub 23, whose rows are those that end in 23."""
    return jwt.encode(
        {"sub": "23", "role": "authenticated", "exp": int(time.time()) + 36_000}, SECRET, "HS256"
    )


def check(url: str, body: bytes, wanted: object) -> None:
    """That the server really does the work."""
    headers = {"content-type": "application/json", "authorization": f"Bearer {token()}"}
    try:
        with urllib.request.urlopen(urllib.request.Request(url, body, headers)) as answer:
            got = json.load(answer)
    except urllib.error.HTTPError as error:
        raise SystemExit(f"{url}: {error.code} {error.read().decode()}") from error
    if got != wanted:
        raise SystemExit(f"{url} answers {got}")


def load(url: str, body: bytes, seconds: int) -> Load:
    """wrk with 32 connections."""
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        script.write(
            f"wrk.method = 'POST'\nwrk.body = '{body.decode()}'\n"
            f"wrk.headers['content-type'] = 'application/json'\nwrk.headers['authorization'] = 'Bearer {token()}'\n"
        )
        script.flush()
        command = ["wrk", "-t1", "-c32", f"-d{seconds}s", "--latency", "-s", script.name, url]
        said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    if "Non-2xx" in said:
        raise SystemExit(f"{url}: {said}")
    rate = re.search(r"Requests/sec:\s+([\d.]+)", said)
    p99 = re.search(r"^\s+99%\s+([\d.]+)(us|ms|s)", said, re.MULTILINE)
    if rate is None or p99 is None:
        raise SystemExit(f"wrk said: {said}")
    return Load(float(rate[1]), float(p99[1]) * {"us": 0.001, "ms": 1, "s": 1000}[p99[2]])


if __name__ == "__main__":
    main()
