"""What is shipped: the sdist, the wheel that is built from it with its library of C, and an installation of that."""

import ctypes
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import build_library
import pytest

from aerofn import sql
from aerofn.build.toolchain import toolchain_root

ROOT = Path(__file__).resolve().parents[2]
LIBRARY = build_library.LIBRARY.name
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
LOAD = (
    "from aerofn.runtime import library; print(library.__file__, library.library().sandbox_source().decode())"
)


def python(code, *arguments, cwd, **environment):
    """Runs `code` in a Python of its own."""
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)], cwd=cwd, capture_output=True, text=True, check=False,
        env={**os.environ, **environment},
    )  # fmt: skip


def hatchling(call, *arguments, cwd=ROOT, **environment):
    """What a call of the build backend returns, as pip makes it."""
    done = python(
        f"import sys; from hatchling import build; print(build.{call})", *arguments, cwd=cwd, **environment
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.splitlines()[-1]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return tmp_path_factory.mktemp("shipped")


@pytest.fixture(scope="module")
def unpacked(place):
    """The sdist's files."""
    with tarfile.open(place / hatchling("build_sdist(sys.argv[1])", place)) as sdist:
        sdist.extractall(place, filter="data")
    return place / f"aerofn-{PROJECT['version']}"


@pytest.fixture(scope="module")
def wheel(place, unpacked):
    return place / hatchling("build_wheel(sys.argv[1])", place, cwd=unpacked)


@pytest.fixture(scope="module")
def site(place, wheel):
    """Where pip has installed it."""
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps", "--no-compile"]
    subprocess.run([*command, "--target", place / "site", wheel], check=True)
    return place / "site"


def test_the_sdist_has_the_source_and_its_build_and_no_library(unpacked):
    assert (unpacked / "aerofn" / "runtime" / "native" / "run.c").is_file()
    assert (unpacked / "tools" / "build_library.py").is_file()
    assert list(unpacked.rglob("libaerofn.*")) == []


def test_the_wheel_is_for_every_python_of_this_platform(wheel):
    assert re.fullmatch(r"aerofn-[\w.]+-py3-none-(linux_\w+|macosx_\w+)\.whl", wheel.name)
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        about = archive.read(next(name for name in names if name.endswith("/WHEEL"))).decode()
    assert "Root-Is-Purelib: false" in about
    assert {f"aerofn/runtime/native/{LIBRARY}", "aerofn/runtime/native/run.c"} <= set(names)
    assert len(names) == len(set(names))


def test_an_installation_loads_its_own_library(site):
    done = python(LOAD, cwd=site)
    assert done.returncode == 0, done.stderr
    module, source = done.stdout.split()
    assert module == str(site / "aerofn" / "runtime" / "library.py")
    assert source == python(LOAD, cwd=ROOT).stdout.split()[1]


def test_a_library_that_is_stale_or_missing_is_refused_with_what_to_do(site, tmp_path):
    native = tmp_path / "aerofn" / "runtime" / "native"
    shutil.copytree(site / "aerofn", tmp_path / "aerofn")
    with (native / "run.c").open("a") as source:
        source.write("/* pulled and not built */\n")
    code = f"from aerofn.cli import output\ntry: {LOAD}\nexcept Exception as error: output.print_error(error)"
    stale = python(code, cwd=tmp_path).stderr
    assert f"{LIBRARY} was built from another source" in stale
    (native / LIBRARY).unlink()
    missing = python(code, cwd=tmp_path).stderr
    assert "cannot be loaded" in missing
    assert all("hint: make install in a checkout" in text for text in (stale, missing))


def test_an_installation_has_the_checkouts_sql_wit_and_pages(site):
    code = "from aerofn import sql; print(sql.share('sql')); print([m.checksum for m in sql.migrations()])"
    where, checksums = python(code, cwd=site).stdout.splitlines()
    assert where == str(site / "aerofn" / "_share" / "sql")
    assert checksums == str([m.checksum for m in sql.migrations()])
    assert (site / "aerofn" / "_share" / "wit" / "aerofn.wit").is_file()
    for below in ("web/dashboard/templates", "web/dashboard/static"):
        shipped = {path.name for path in (site / "aerofn" / below).iterdir()}
        assert shipped == {path.name for path in (ROOT / "aerofn" / below).iterdir()} != set()


@pytest.mark.parametrize("kind", ["wheel", "editable"])
def test_a_build_asks_for_zig_where_there_is_no_compiler_and_only_there(kind, tmp_path):
    zig = next(one for one in PROJECT["optional-dependencies"]["c"] if one.startswith("ziglang"))
    call = f"get_requires_for_build_{kind}() if not sys.modules.update(ziglang=None) else 0"
    assert zig in hatchling(call, PATH=str(tmp_path), CC="")
    assert zig not in hatchling(call, CC="some compiler")


def test_zig_builds_a_library_that_loads_and_leaves_a_loaded_one_alone(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CC", raising=False)
    for kind in ("GLOBAL", "LOCAL"):
        monkeypatch.setenv(f"ZIG_{kind}_CACHE_DIR", str(toolchain_root() / "zig"))
    assert "ziglang" in build_library.compiler()
    build_library.build(tmp_path / LIBRARY)
    source = ctypes.CDLL(str(tmp_path / LIBRARY)).sandbox_source
    source.restype = ctypes.c_char_p
    assert len(source()) == 64
    loaded = (tmp_path / LIBRARY).stat().st_ino
    build_library.build(tmp_path / LIBRARY)
    assert (tmp_path / LIBRARY).stat().st_ino != loaded, "written into the file that is in use"
    assert [path.name for path in tmp_path.iterdir()] == [LIBRARY]


def test_a_compiler_that_fails_is_heard(tmp_path):
    compiler = tmp_path / "cc"
    compiler.write_text("#!/bin/sh\necho 'run.c:7: out of semicolons' >&2; exit 3\n")
    compiler.chmod(0o755)
    code = "import sys; from hatchling import build; build.build_wheel(sys.argv[1])"
    done = python(code, tmp_path, cwd=ROOT, CC=str(compiler))
    assert done.returncode == 1
    assert "out of semicolons" in done.stderr
    assert re.search(r"library cannot be built: .*/cc .* ended with 3$", done.stderr, re.MULTILINE)
    assert "Traceback" not in done.stderr


def test_make_builds_the_library_alone_when_only_the_c_has_changed(tmp_path):
    parts = [".venv/bin/pip", "pyproject.toml", "aerofn/runtime/native/run.c", "tools/build_library.py"]
    parts += ["aerofn/runtime/native/libaerofn.so", ".venv/.dev"]
    for age, part in enumerate(reversed(parts)):  # the older, the earlier in the list
        path = tmp_path / part
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
        os.utime(path, (1e9 - age, 1e9 - age))

    def made(changed=None):
        if changed is not None:
            (tmp_path / changed).touch()
        command = ["make", "--dry-run", "--makefile", ROOT / "Makefile", ".venv/.dev"]
        said = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True).stdout
        return "build_library.py" in said, "pip install" in said

    assert made() == (False, False)
    (tmp_path / "aerofn/runtime/native/libaerofn.so").unlink()
    assert made() == (True, False)
    (tmp_path / "aerofn/runtime/native/libaerofn.so").touch()
    assert made() == (False, False)
    assert made("aerofn/runtime/native/run.c") == (True, False)
    assert made("pyproject.toml") == (False, True)
