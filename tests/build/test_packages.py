"""With npm packages from a lock file: popular ones work in a function, and TypeScript knows the globals."""

import json
import re
import shutil
import subprocess
import uuid
from pathlib import Path

import jwt
import pytest

from aerofn.build.node import SDK
from tests.build.conftest import Functions, output
from tests.docs.blocks import blocks

PACKAGES = Path(__file__).parent / "packages"
ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
SECRET = "a secret of at least thirty-two bytes"


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("project")
    shutil.copytree(PACKAGES, folder, dirs_exist_ok=True)
    npm = shutil.which("npm")
    assert npm is not None
    subprocess.run(
        [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"],
        cwd=folder,
        check=True,
        capture_output=True,
    )
    return folder


async def test_proven_packages(project: Path, functions: Functions) -> None:
    component = await functions.load(project / "function.js")
    event = {"trigger": "invoke", "payload": {"id": 1, "email": "ada@example.com"}}
    first, second = [output(await functions.run(component, event)) for _ in range(2)]
    assert first["valid"] == {"id": 1, "email": "ada@example.com", "tags": []}
    assert first["issues"] == ["id", "email"]
    assert first["tomorrow"].startswith("2026-03-01T")
    assert re.fullmatch(r"[\w-]{21}", first["id"])
    assert uuid.UUID(first["uuid"]).version == 4
    assert first["named"] == str(uuid.uuid5(uuid.NAMESPACE_DNS, "aerofn"))
    assert first["id"] != second["id"]
    assert first["uuid"] != second["uuid"]
    claims = jwt.decode(first["token"]["jwt"], SECRET, algorithms=["HS256"])
    assert (claims["sub"], claims["role"]) == ("ada", "authenticated")
    assert (first["token"]["sub"], first["token"]["forged"]) == (
        "ada",
        "ERR_JWS_SIGNATURE_VERIFICATION_FAILED",
    )


def of_the_pages(folder: Path) -> list[Path]:
    """The whole functions in the documentation, each in a file."""
    folder.mkdir(exist_ok=True)
    files = []
    for page in (ROOT / "docs").glob("*.md"):
        for number, block in enumerate(blocks(page)):
            if block.language in ("js", "ts") and block.text.startswith(("export ", "type ")):
                files.append(folder / f"{page.stem}-{number}.{block.language}")
                files[-1].write_text(block.text)
    assert len(files) > 6
    return files


def test_types(project: Path) -> None:
    shown = of_the_pages(project / "pages")
    files = [project / "typed.ts", SDK / "aerofn.d.ts", *EXAMPLES.glob("*/*.js"), *shown]
    options = {"lib": ["es2023"], "target": "es2023", "module": "esnext", "moduleResolution": "bundler"}
    checks = {
        "strict": True,
        "noImplicitAny": False,
        "checkJs": True,
        "allowJs": True,
        "noEmit": True,
        "types": [],
    }
    config = {"compilerOptions": options | checks, "files": [str(path) for path in files]}
    (project / "tsconfig.json").write_text(json.dumps(config))
    compiler = project / "node_modules" / ".bin" / "tsc"
    done = subprocess.run([compiler, "-p", project], capture_output=True, text=True, check=False)
    assert (done.stdout, done.returncode) == ("", 0)
