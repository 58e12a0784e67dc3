"""`aerofn build`: from source to component, with the progress shown."""

from pathlib import Path

from aerofn.build import build
from aerofn.cli.output import GOOD, WAITING, console
from aerofn.observe import MIB


def run(source: Path, output: Path | None, *, minify: bool, engine: str) -> None:
    """Build and say what was made.

    Raises:
        InvalidRequest, InvalidComponent: it does not build, or is no function; says where and why.
    """
    out = console()
    with console(stderr=True).status(f"building {source.name}") as status:
        made = build(source, output, minify=minify, engine=engine, progress=status.update)
    size = f"{made.size / MIB:.1f} MB" if made.size >= MIB // 10 else f"{made.size / 1024:.1f} KB"
    out.print(f"{made.output}  {size}  sha256 {made.digest[:12]}…  {made.seconds:.1f} s", style=GOOD)
    for warning in made.warnings:
        out.print(warning, style=WAITING)
