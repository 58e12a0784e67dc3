"""What all QuickJS components have in common, made once for each toolchain and contract and kept beside it."""

import contextlib
import fcntl
import hashlib
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from aerofn.build.node import SDK, run_script
from aerofn.build.quickjs import module
from aerofn.build.quickjs.garbage import mark_in
from aerofn.build.quickjs.link import HOME, relinked
from aerofn.build.quickjs.probe import probed
from aerofn.build.quickjs.stub import kept_argument, stub
from aerofn.build.toolchain import DIRECTORY_KEY
from aerofn.errors import InvalidRequest
from aerofn.runtime import section
from aerofn.runtime.initial import Initial

_TEMPLATE, _BEGINNING, _SHIM, _CODE, _MARK = (
    "template.wasm",
    "beginning.wasm",
    "shim.js",
    "code.cwasm",
    "mark",
)


_COMPONENT = 4  # what componentize-qjs makes is in another one, which stands in for the module loader


@dataclass(frozen=True)
class Base:
    """What a component is made of.

    Attributes:
        template: the component, but for its memory.
        shim: the first argument of `init`: JavaScript that componentize-qjs makes of the world.
        initial: the component before its `init`, ready to run.
        mark: see `garbage`.
    """

    template: bytes
    shim: str
    initial: Initial
    mark: int


def base_for(toolchain: Path, contract: Path, node: Path, progress: Callable[[str], None]) -> Base:
    """The base of functions built with that toolchain for that contract; made when it is not there yet.

    Raises:
        InvalidRequest: componentize-qjs could not make it, or it cannot be kept there.
    """
    folder = toolchain / f"base-{_key(contract)}"
    try:
        folder.mkdir(exist_ok=True)
        with _alone(folder):
            if not (folder / _SHIM).exists():
                progress("preparing the JavaScript engine (once)")
                _make(folder, toolchain, contract, node)
            return _load(folder)
    except OSError as error:
        raise InvalidRequest(
            f"the JavaScript engine cannot be kept beside its toolchain: {error}",
            hint=f"let this user write {toolchain}, or set {DIRECTORY_KEY} to a directory of your own",
            code="toolchain_missing",
        ) from None


@lru_cache(maxsize=4)
def _load(folder: Path) -> Base:
    initial = Initial((folder / _BEGINNING).read_bytes(), folder / _CODE)
    shim = (folder / _SHIM).read_text(encoding="utf-8")
    return Base((folder / _TEMPLATE).read_bytes(), shim, initial, int((folder / _MARK).read_text("ascii")))


def _key(contract: Path) -> str:
    files = [contract, *_makers()]
    digests = b"".join(hashlib.sha256(file.read_bytes()).digest() for file in files)
    return hashlib.sha256(digests).hexdigest()[:16]


def _makers() -> list[Path]:
    """The files that a base depends on, beside the toolchain and the contract."""
    ours, runtime = Path(__file__).parent, Path(section.__file__).parent
    shared = [
        runtime / f"{name}.py"
        for name in ("binary", "bulk", "growth", "initial", "instructions", "section", "surgery")
    ]
    script = SDK / "node" / "componentize.mjs"
    return [
        script,
        *sorted((SDK / "wit").rglob("*.wit")),
        *sorted(ours.glob("*.py")),
        *ours.glob("*.wat"),
        *shared,
    ]


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """A block in which no other build is at the same time."""
    with (folder / "lock").open("wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _make(folder: Path, toolchain: Path, contract: Path, node: Path) -> None:
    runtime = (toolchain / "runtime.wasm").read_bytes()
    with tempfile.TemporaryDirectory(dir=folder) as name:
        stubbed, made, shim = (Path(name) / part for part in ("stub.wasm", "made.wasm", _SHIM))
        stubbed.write_bytes(stub(runtime))
        run_script(node, "componentize.mjs", str(toolchain), str(contract), str(stubbed), str(made))
        component = module.content_of(made.read_bytes(), _COMPONENT)
        linked = relinked(component, runtime)
        (folder / _TEMPLATE).write_bytes(linked.template)
        (folder / _BEGINNING).write_bytes(probed(linked.beginning, HOME))
        home = module.core_modules(component)[HOME]
        text = kept_argument(module.segments(home))
        initial = Initial((folder / _BEGINNING).read_bytes(), folder / _CODE)
        (folder / _MARK).write_text(str(mark_in(initial, text)), "ascii")
        shim.write_text(text, encoding="utf-8")
        shim.rename(folder / _SHIM)  # last: it tells that all is there
