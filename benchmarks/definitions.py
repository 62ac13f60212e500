"""What `mixpanel_etl.definitions` and loading its definitions cost over `import dagster`. Ends with one JSON line.

python -m benchmarks.definitions
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys

DAGSTER = "import dagster"
OURS = "import warnings; warnings.simplefilter('ignore'); from mixpanel_etl.definitions import defs; defs()"
TIMED = "import time; t = time.perf_counter(); {}; print(time.perf_counter() - t)"


def main() -> None:
    seconds: dict[str, list[float]] = {DAGSTER: [], OURS: []}
    for _ in range(7):
        for statement, found in seconds.items():
            command = [sys.executable, "-c", TIMED.format(statement)]
            found.append(float(subprocess.run(command, check=True, capture_output=True, text=True).stdout))
    dagster, ours = (statistics.median(found) for found in seconds.values())
    print(json.dumps({"dagster_seconds": round(dagster, 2), "over_dagster_seconds": round(ours - dagster, 2)}))


if __name__ == "__main__":
    main()
