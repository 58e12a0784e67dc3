"""Where the contract between guest and host is, `wit/aerofn.wit`, and the world that Python and C are built for."""

import shutil
from pathlib import Path

_CONTRACT = Path("wit") / "aerofn.wit"
WORLD = Path(__file__).with_name("guest.wit")


def contract() -> Path:
    """The contract's file: shipped with the package, or of the source tree around it."""
    package = Path(__file__).parent.parent
    shipped = package / "_share" / _CONTRACT
    return shipped if shipped.exists() else package.parent / _CONTRACT


def lay_world(folder: Path) -> Path:
    """Write the WIT package of world `guest`, with the contract it needs, into `folder`; its path."""
    (folder / "wit" / "deps").mkdir(parents=True)
    shutil.copyfile(WORLD, folder / "wit" / WORLD.name)
    shutil.copyfile(contract(), folder / "wit" / "deps" / _CONTRACT.name)
    return folder / "wit"
