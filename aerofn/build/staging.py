"""What a Python component is built from, laid out in a folder of its own: the SDK, the author's files, packages.

Only what belongs to the function goes in, so that the same function gives the same component wherever it lies.
"""

import ast
import contextlib
import hashlib
import shutil
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from aerofn.build.contract import lay_world

SDK = Path(__file__).with_name("sdk_python")
REQUIREMENTS = "requirements.txt"
ENTRY = "aerofn_function"
_ENTRY_TEXT = """\
import wit_world
from aerofn import _entry

try:
    _handler = _entry.load({file!r})
except BaseException as error:
    _entry.note_failure(error)
    raise


class WitWorld(wit_world.WitWorld):
    def handle(self, event):
        return _entry.handle(_handler, event)
"""
_OF_THE_GUEST = frozenset({"wit_world", "componentize_py_types", "annotationlib", "compression"})
_LEFT_OUT = ("test_*.py", "*_test.py", "conftest.py", "__pycache__", ".*")


@dataclass(frozen=True)
class Stage:
    """The folder: `sdk`, `app`, and `environment` as a virtual environment would be."""

    folder: Path

    @property
    def sdk(self) -> Path:
        """AeroFn's package as the function imports it."""
        return self.folder / "sdk"

    @property
    def app(self) -> Path:
        """The author's files."""
        return self.folder / "app"

    @property
    def environment(self) -> Path:
        """What componentize-py takes for the author's virtual environment."""
        return self.folder / "environment"

    @property
    def wit(self) -> Path:
        """The world it is built for."""
        return self.folder / "wit"

    @property
    def packages(self) -> Path:
        """The packages of requirements.txt."""
        return self.environment / "lib" / "python3" / "site-packages"

    def digest(self, *versions: str) -> str:
        """SHA-256 of all files with their names, and of the toolchain's versions; in hex."""
        seen = hashlib.sha256("\0".join(versions).encode())
        for path in sorted(path for path in self.folder.rglob("*") if path.is_file()):
            seen.update(f"\0{path.relative_to(self.folder)}\0".encode())
            seen.update(hashlib.sha256(path.read_bytes()).digest())
        return seen.hexdigest()


@contextlib.contextmanager
def staged(source: Path, packages: Path | None) -> Iterator[Stage]:
    """Lay out the function of `source`: it, what it imports of the modules beside it, and `packages`."""
    with tempfile.TemporaryDirectory(prefix="aerofn-python-") as name:
        stage = Stage(Path(name))
        ignored = shutil.ignore_patterns(*_LEFT_OUT)
        shutil.copytree(SDK, stage.sdk, ignore=ignored)
        lay_world(stage.folder)
        _copy_beside(source, stage.app)
        (stage.app / f"{ENTRY}.py").write_text(_ENTRY_TEXT.format(file=source.name), encoding="utf-8")
        if packages is None:
            stage.packages.mkdir(parents=True)
        else:
            shutil.copytree(packages, stage.packages, ignore=shutil.ignore_patterns("__pycache__", "bin"))
        yield stage


def _copy_beside(source: Path, target: Path) -> None:
    """The source and, of the modules and packages beside it, those that are imported; packages with their data."""
    target.mkdir()
    shutil.copyfile(source, target / source.name)
    waiting = [source]
    while waiting:
        for name in _imported(waiting.pop(), source.parent):
            module, package = source.with_name(f"{name}.py"), source.with_name(name)
            if (target / module.name).exists() or (target / name).exists():
                continue
            if (package / "__init__.py").is_file():
                shutil.copytree(package, target / name, ignore=shutil.ignore_patterns(*_LEFT_OUT))
                waiting += sorted((target / name).rglob("*.py"))
            elif module.is_file():
                shutil.copyfile(module, target / module.name)
                waiting.append(module)


def _imported(file: Path, folder: Path) -> list[str]:
    """Top-level names that a file imports; all that `folder` has if it is no Python that this one can read."""
    tree = _parsed(file)
    if tree is None:
        return sorted(path.stem for path in folder.iterdir() if path.suffix == ".py" or path.is_dir())
    return sorted({name for node in ast.walk(tree) for name in _names(node)})


def _parsed(file: Path) -> ast.Module | None:
    try:
        return ast.parse(file.read_bytes())
    except (SyntaxError, ValueError):  # perhaps newer than ours: the sandbox's Python will tell
        return None


def _names(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name.partition(".")[0] for alias in node.names]
    if isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
        return [node.module.partition(".")[0]]
    return []


def missing_module(source: Path, stage: Stage) -> tuple[int, str] | None:
    """Line and name of the first module that `source` imports at its top level and that is nowhere."""
    tree = _parsed(source)
    for node in tree.body if tree else ():
        for name in _names(node):
            if not _is_there(name, stage):
                return node.lineno, name
    return None


def _is_there(name: str, stage: Stage) -> bool:
    if name in sys.stdlib_module_names or name in _OF_THE_GUEST:
        return True
    folders = (stage.sdk, stage.app, stage.packages)
    return any((folder / name).is_dir() or (folder / f"{name}.py").is_file() for folder in folders)
