"""What a build leaves behind."""

import hashlib
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Built:
    """A component on disk.

    Attributes:
        output: the component's file.
        digest: SHA-256 of its bytes, in hex; the same source gives the same digest.
        size: its length in bytes.
        seconds: how long building took.
        warnings: what the author should look at, each a text with file, line and column.
    """

    output: Path
    digest: str
    size: int
    seconds: float
    warnings: tuple[str, ...] = ()


def built(output: Path, seconds: float, warnings: list[str]) -> Built:
    """Describe the component that was written to `output`."""
    component = output.read_bytes()
    digest = hashlib.sha256(component).hexdigest()
    return Built(output, digest, len(component), seconds, tuple(warnings))


def silent(_message: str) -> None:
    """Show no progress."""
