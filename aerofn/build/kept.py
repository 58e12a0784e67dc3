"""Components that were built before, by the digest of all that went into them.

A build that takes a while is not done twice, and the same source gives the same component here: two snapshots of
CPython or SpiderMonkey differ.
"""

import contextlib
import json
import os
import shutil
from collections.abc import Sequence
from pathlib import Path

MOST = 24  # components; a Python one is some 20 MB


class Kept:
    """A folder of components."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def take(self, key: str, output: Path) -> list[str] | None:
        """Write the component of `key` to `output`, and give the warnings of its build; None if it is not here."""
        kept = self._folder / f"{key}.wasm"
        try:
            shutil.copyfile(kept, output)
            os.utime(kept)
        except FileNotFoundError:
            return None
        try:
            warnings: list[str] = json.loads(self._warnings(kept).read_text(encoding="utf-8"))
        except (FileNotFoundError, ValueError):  # let go of by another build, or cut off by a crash
            return None
        return warnings

    def keep(self, key: str, component: Path, warnings: Sequence[str] = ()) -> None:
        """Keep a component, and what its build warned of."""
        kept = self.opened() / f"{key}.wasm"
        partial = kept.with_name(f"{key}.{os.getpid()}.partial")
        partial.write_text(json.dumps(warnings), encoding="utf-8")
        partial.rename(self._warnings(kept))
        shutil.copyfile(component, partial)
        partial.rename(kept)
        self.tidy()

    def _warnings(self, kept: Path) -> Path:
        return kept.with_suffix(".json")

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
                self._warnings(path).unlink(missing_ok=True)
