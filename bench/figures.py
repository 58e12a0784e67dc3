"""How a benchmark tells a figure: one JSON object a line, with the peer's figure of the same run beside it."""

import json
from collections.abc import Mapping
from statistics import median


def tell(
    figure: str,
    runs: list[float],
    unit: str,
    *,
    peer: str | None = None,
    peer_runs: list[float] | None = None,
    goal: float | None = None,
    more: Mapping[str, object] | None = None,
) -> None:
    """Print the median of `runs` beside the median of `peer_runs`, and their ratio."""
    value = median(runs)
    peer_value = median(peer_runs) if peer_runs else None
    line = {
        "figure": figure,
        "value": round(value, 4),
        "unit": unit,
        "peer": peer,
        "peer_value": None if peer_value is None else round(peer_value, 4),
        "ratio": round(value / peer_value, 3) if peer_value else None,
        "goal": goal,
        "runs": [round(run, 4) for run in runs],
        **(more or {}),
    }
    print(json.dumps(line), flush=True)
