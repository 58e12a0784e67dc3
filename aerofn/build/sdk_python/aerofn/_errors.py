"""What is told about an error: name, message, and a traceback in the author's files."""

import traceback
from typing import Any

ROOT = "/1/"  # where componentize-py mounts the author's files
_SDK = "/0/"
_OTHERS = ("/2/", "/python/")  # packages, and the standard library


def describe(error: BaseException) -> dict[str, Any]:
    """An error as the host takes it, whatever looking at it raises."""
    try:
        return _described(error)
    except Exception:
        message = "what the function raised cannot be read"
        return {"name": type(error).__name__, "message": message, "stack": None, "retry": True}


def _described(error: BaseException) -> dict[str, Any]:
    return {
        "name": type(error).__name__,
        "message": str(error) or type(error).__name__,
        "stack": stack_of(error),
        "retry": getattr(error, "retry", True) is not False,
    }


def stack_of(error: BaseException) -> str:
    """The traceback from the author's first line on, its files called as they are outside."""
    report = traceback.TracebackException.from_exception(error, compact=True)
    _rename(report)
    return "".join(report.format()).rstrip()


def _rename(report: traceback.TracebackException) -> None:
    frames = [frame for frame in report.stack if not frame.filename.startswith(_SDK)]
    first = next((n for n, frame in enumerate(frames) if frame.filename.startswith(ROOT)), len(frames))
    for frame in frames:
        for prefix in (ROOT, *_OTHERS):
            frame.filename = frame.filename.removeprefix(prefix)
    report.stack[:] = frames[first:]
    for inner in (report.__cause__, report.__context__, *(report.exceptions or ())):
        if inner is not None:
            _rename(inner)
