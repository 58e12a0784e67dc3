"""`aerofn init`: a small project that builds and whose test passes."""

import shutil
from enum import StrEnum
from pathlib import Path

from aerofn.build.javascript import TYPES
from aerofn.build.staging import SDK as PYTHON_SDK
from aerofn.cli.output import GOOD, console
from aerofn.errors import Conflict
from aerofn.project import FILE

_TEMPLATES = Path(__file__).with_name("templates")
_FILLED = (FILE, "README.md")


class Language(StrEnum):
    """What a function can be written in."""

    JS = "js"
    TS = "ts"
    PYTHON = "python"
    C = "c"


def init(folder: Path, language: Language) -> list[Path]:
    """Write the project into `folder`, which is made if missing; the files that were written.

    Raises:
        Conflict: there is a file already that would be overwritten; nothing is written then.
    """
    files = {**_files(_TEMPLATES / "common"), **_files(_TEMPLATES / language), **_types(language)}
    taken = sorted(str(name) for name in files if (folder / name).exists())
    if taken:
        raise Conflict(
            f"{folder} has {', '.join(taken)} already",
            hint="choose an empty folder: aerofn init --lang js my-project",
        )
    source = next(name.name for name in files if name.parent == Path("functions"))
    for name, template in files.items():
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if str(name) in _FILLED:
            text = template.read_text(encoding="utf-8").replace("@SOURCE@", source)
            target.write_text(text.replace("@NAME@", folder.resolve().name), encoding="utf-8")
        else:
            shutil.copyfile(template, target)
    return [folder / name for name in files]


def _files(root: Path) -> dict[Path, Path]:
    """Template files by where they go; a template cannot be called .gitignore itself."""
    found = sorted(path for path in root.rglob("*") if path.is_file() and path.suffix != ".pyc")
    names = [path.relative_to(root) for path in found]
    return {
        Path(".gitignore") if str(n) == "gitignore" else n: path for n, path in zip(names, found, strict=True)
    }


def _types(language: Language) -> dict[Path, Path]:
    """What an editor needs to know the SDK. Pyright and mypy read stubs in `typings`."""
    if language in (Language.JS, Language.TS):
        return {Path("aerofn.d.ts"): TYPES}
    if language is Language.PYTHON:
        modules = sorted((PYTHON_SDK / "aerofn").glob("*.py"))
        return {Path("typings/aerofn") / path.name: path for path in modules}
    return {}


def run(folder: Path, language: Language) -> None:
    """Write the project and say what to do next."""
    written = init(folder, language)
    out = console()
    for file in written:
        if "typings" not in file.parts:
            out.print(f"  {file}")
    go = "" if folder == Path() else f"cd {folder} && "
    out.print(f"Next: {go}aerofn test, then aerofn dev", style=GOOD)
