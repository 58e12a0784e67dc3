"""From the author's file to the component's export: finds the handler, runs it, tells its error."""

import importlib.util
import inspect
import json
import linecache
import sys
import time
import traceback
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

from aerofn import _host, _json, _log, _seeds
from aerofn._errors import ROOT, describe
from aerofn.event import Event, input_of

_NO_ENTRY = "no function to run was found: define one, for example `def handler(event, context):`"

Handler = Callable[[Any, Event], Any]


def load(file: str) -> Handler:
    """Run the author's file, and give its handler as a function of input and event."""
    _log.install()
    time.sleep = _host.sleep  # type: ignore[assignment]
    path = Path(ROOT + file)
    name = path.stem if path.stem.isidentifier() else "function"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    with _seeds.noted():
        spec.loader.exec_module(module)
    handler = _find(module)
    _keep_sources()
    _note("warnings", [f"{file}: {warning}" for warning in _seeds.settle(vars(module))])
    return handler


def _find(module: types.ModuleType) -> Handler:
    own = [
        value
        for name, value in vars(module).items()
        if not name.startswith("_") and inspect.isfunction(value) and value.__module__ == module.__name__
    ]
    found = getattr(module, "handler", None)
    if not callable(found):
        if len(own) != 1:
            names = ", ".join(one.__name__ for one in own)
            raise LookupError(
                f"{names} are defined and none is called `handler`: name the one to run so"
                if own
                else _NO_ENTRY
            )
        found = own[0]
    return _adapted(found)


def _adapted(handler: Callable[..., Any]) -> Handler:
    """Takes what the author wants of input and event, and waits for what a coroutine gives."""
    kinds = [p.kind for p in inspect.signature(handler).parameters.values()]
    most = 2 if inspect.Parameter.VAR_POSITIONAL in kinds else 0
    most = max(most, sum(kind in (0, 1) for kind in kinds))
    if inspect.iscoroutinefunction(handler):
        from aerofn._loop import run  # noqa: PLC0415  asyncio is 2 MB that only some functions need

        return lambda value, event: run(handler(*(value, event)[:most]))
    return lambda value, event: handler(*(value, event)[:most])


def _keep_sources() -> None:
    """Let tracebacks show the author's lines: in the sandbox there is no file to read them from."""
    for module in list(sys.modules.values()):
        file = getattr(module, "__file__", None) or ""
        if file.startswith(ROOT):
            text = Path(file).read_text(encoding="utf-8")
            linecache.cache[file] = (len(text), None, text.splitlines(keepends=True), file)


def handle(handler: Handler, text: str) -> str:
    """The export `handle`: the result's JSON; raises Err with the error's."""
    _seeds.renew()
    _host.begin()
    try:
        event = Event(_json.parse(text))
        return _json.dump(handler(input_of(event), event))
    except BaseException as error:  # sys.exit() too is an error here
        raise _host.Err(json.dumps(describe(error))) from None
    finally:
        _log.finish()


def note_failure(error: BaseException) -> None:
    """Leave word of why the file could not be loaded, for the build to tell its author."""
    last = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename.startswith(ROOT)]
    file, line = (last[-1].filename, last[-1].lineno) if last else (None, None)
    if isinstance(error, SyntaxError) and (error.filename or "").startswith(ROOT):
        file, line = error.filename, error.lineno
    found = {
        **describe(error),
        "file": file and file.removeprefix(ROOT),
        "line": line,
        "module": getattr(error, "name", None) if isinstance(error, ModuleNotFoundError) else None,
    }
    _note("failure", found)


def _note(name: str, what: Any) -> None:
    """Leave word for the build, which reads it where the author's files are."""
    Path(ROOT, f"{name}.json").write_text(json.dumps(what), encoding="utf-8")
