"""Components that were built before, by the digest of all that went into them.

A build that takes a while is not done twice, and the same source gives the same component here: two snapshots of
CPython or SpiderMonkey differ.
"""

import contextlib
import os
import shutil
from pathlib import Path

MOST = 24  # components; a Python one is some 20 MB


class Kept:
    """A folder of components."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def take(self, key: str, output: Path) -> bool:
        """Write the component of `key` to `output`; false if it is not here."""
        kept = self._folder / f"{key}.wasm"
        try:
            shutil.copyfile(kept, output)
            os.utime(kept)
        except FileNotFoundError:
            return False
        return True

    def keep(self, key: str, component: Path) -> None:
        """Keep a component."""
        partial = self.opened() / f"{key}.{os.getpid()}.partial"
        shutil.copyfile(component, partial)
        partial.rename(self._folder / f"{key}.wasm")
        self.tidy()

    def opened(self) -> Path:
        """The folder, made if need be."""
        self._folder.mkdir(parents=True, exist_ok=True)
        return self._folder

    def tidy(self) -> None:
        """Let those go that were not asked for longest."""
        with contextlib.suppress(FileNotFoundError):  # another build tidies up as well
            oldest_first = sorted(self._folder.glob("*.wasm"), key=lambda path: path.stat().st_mtime)
            for path in oldest_first[:-MOST]:
                path.unlink()
