"""Which measures of a soak run stayed flat; the rule is in ``soak.py``."""

from statistics import median
from typing import Any

Samples = list[dict[str, float]]
SHARE, MEBIBYTES = 0.03, 8.0


def verdicts(samples: Samples) -> list[dict[str, Any]]:
    """Return a row for each measure: both medians, growth, and whether it is flat."""
    third = len(samples) // 3
    parts = samples[third : 2 * third], samples[2 * third :]
    hours = (median(s["minute"] for s in parts[1]) - median(s["minute"] for s in parts[0])) / 60
    rows = []
    for name in samples[0]:
        if name in ("minute", "trials"):
            continue
        before, after = (median(sample[name] for sample in part) for part in parts)
        allowed = max(SHARE * before, MEBIBYTES) if name.endswith("MiB") else 0.0
        row = {"measure": name, "second third": before, "last third": after, "an hour": (after - before) / hours}
        rows.append(row | {"flat": after - before <= allowed})
    return rows
