"""The engine in a process that has no addresses left for its pool."""

import subprocess
import sys

THREE = """
import sys
from pathlib import Path
from aerofn.runtime import Runtime, RuntimeConfig
kept = [Runtime(RuntimeConfig(cache_dir=Path(sys.argv[1]), max_instances=10_000)) for _ in range(3)]
print(len(kept))
"""


def test_no_room_for_another_pool_is_a_warning_and_not_the_end(tmp_path):
    ended = subprocess.run(
        [sys.executable, "-c", THREE, str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert (ended.returncode, ended.stdout.strip()) == (0, "3"), ended.stderr
    assert "mapping on demand" in ended.stderr
