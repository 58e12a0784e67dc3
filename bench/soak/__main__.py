"""`make soak`: everything at once for a while. Exit code 1 if anything was violated."""

import argparse
import asyncio
import os
import sys
import tempfile
from pathlib import Path

from bench.soak import report
from bench.soak.nodes import ROOT
from bench.soak.soak import Soak


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=float(os.environ.get("SOAK_MINUTES") or 20))
    parser.add_argument(
        "--seed", type=int, default=int(os.environ.get("SEED") or 1), help="decides every fault"
    )
    parser.add_argument(
        "--rate", type=float, default=1.0, help="of the load: 1 is about 45 invocations a second"
    )
    parser.add_argument("--faults", default="", help="only these kinds, separated by commas")
    parser.add_argument(
        "--out", type=Path, default=ROOT / ".aerofn" / "soak", help="where report and picture go"
    )
    given = parser.parse_args()
    kinds = tuple(kind.strip() for kind in given.faults.split(",") if kind.strip())
    with tempfile.TemporaryDirectory(prefix="aerofn-soak-") as place:
        soak = Soak(
            Path(place), seed=given.seed, seconds=given.minutes * 60, rate=given.rate, kinds=kinds, tell=_tell
        )
        found = asyncio.run(soak.run())
        for log in Path(place).glob("node-*.log"):
            (given.out / "logs").mkdir(parents=True, exist_ok=True)
            (given.out / "logs" / log.name).write_bytes(log.read_bytes())
    report.write(found, given.out)
    report.show(found)
    print(f"{given.out}/report.json, timeline.svg, logs")
    return 0 if found.passed else 1


def _tell(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main())
