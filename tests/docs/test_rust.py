"""The page's Rust function: compiled, made a component, deployed and run, by the page's own commands."""

import os
import subprocess
from pathlib import Path

import pytest

from .blocks import blocks
from .reader import ROOT, Reader, until

TARGET = "wasm32-unknown-unknown"
PAGE = [block for block in blocks(ROOT / "docs" / "c-and-rust.md") if block.mark != "skip"]
CRATES = Path("/usr/share/cargo/registry")  # Debian's, for where no registry of crates can be reached
OFFLINE = f'[source.crates-io]\nreplace-with = "debian"\n[source.debian]\ndirectory = "{CRATES}"\n'


def folder_of_rust() -> Path | None:
    """Where a Cargo is whose compiler has the target: of the PATH, or Debian's."""
    for folder in (*map(Path, os.environ["PATH"].split(":")), Path("/usr/bin")):
        asked = [folder / "rustc", "--print", "target-libdir", "--target", TARGET]
        if (folder / "cargo").exists() and (folder / "rustc").exists():
            said = subprocess.run(asked, capture_output=True, text=True, check=False)
            if said.returncode == 0 and Path(said.stdout.strip()).is_dir():
                return folder
    return None


@pytest.mark.long
@pytest.mark.timeout(300)
async def test_rust(empty_database, tmp_path, monkeypatch):
    rust = folder_of_rust()
    if rust is None and not os.environ.get("CI"):
        pytest.skip(f"no Rust with {TARGET} here: rustup target add {TARGET}")
    assert rust is not None, "continuous integration installs what this needs: see .ci/run"
    monkeypatch.setenv("PATH", f"{rust}:{os.environ['PATH']}")
    reader = Reader(tmp_path, empty_database.url)
    for block in PAGE:
        if block.file is not None:
            (tmp_path / block.file).parent.mkdir(exist_ok=True)
            (tmp_path / block.file).write_text(block.text)
    if list(CRATES.glob("serde_json-1.*")):
        (tmp_path / ".cargo").mkdir()
        (tmp_path / ".cargo" / "config.toml").write_text(OFFLINE)
    (commands,) = [block.text for block in PAGE if block.language == "sh" and "cargo" in block.text]
    async with reader.background("aerofn serve"):
        conn = await empty_database.connect()
        await until(conn, "to_regclass('aerofn_internal.schema_api') IS NOT NULL")
        await until(conn, "EXISTS (SELECT FROM aerofn_internal.nodes)")
        assert "slugs version 1 is ready" in await reader.run(commands)
        await conn.execute(
            """CREATE TABLE posts (id int PRIMARY KEY, title text, slug text);
            GRANT SELECT, UPDATE ON posts TO service_role;
            SELECT aerofn.create_row_trigger('slugs', 'posts', '{INSERT}', run_as => 'service_role');
            INSERT INTO posts VALUES (1, 'Hello, Wörld! 2'), (2, '…'), (3, NULL)"""
        )
        await until(conn, "count(*) = 3 FROM aerofn.invocations")
    assert await conn.fetchval("SELECT slug FROM posts WHERE id = 1") == "hello-wörld-2"
    assert await conn.fetchval(
        "SELECT logs ->> 0 LIKE '%hello-wörld-2%' FROM aerofn.invocations WHERE status = 'success'"
    )
    dead = await conn.fetch("SELECT state::text, errors -> 0 ->> 'name' AS error FROM aerofn.events")
    assert [tuple(row) for row in dead] == [("dead", "NoSlug")] * 2  # retry: false
