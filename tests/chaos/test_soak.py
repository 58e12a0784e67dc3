"""The soak in short, before the long one: every kind of load, some faults, and the whole verdict (`make soak`).

What a slow machine may excuse (errors beside faults, how soon all was ready, memory) is judged by `make soak` only.
"""

import shutil

import pytest

from bench.soak import report
from bench.soak.soak import Soak

FAULTS = ("a node killed", "PostgreSQL crashes")


@pytest.mark.long
@pytest.mark.timeout(600)
async def test_a_short_soak_loses_nothing_and_does_nothing_twice(tmp_path, capsys):
    if shutil.which("node") is None:
        pytest.skip("building JavaScript needs Node")
    found = await Soak(tmp_path / "soak", seed=1, seconds=8, rate=0.5, kinds=FAULTS).run()
    report.write(found, tmp_path)
    report.show(found)
    violations = [
        (check.name, check.violations[:5]) for check in found.checks if check.violations and not check.of_time
    ]
    assert violations == [], capsys.readouterr().out
    assert found.windows, "no fault was committed"
    assert (tmp_path / "timeline.svg").read_text().startswith("<svg")
