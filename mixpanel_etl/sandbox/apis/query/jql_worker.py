"""The process in which one JQL script runs: `jql.py` starts it by its path, exchanges lines with it, and kills it.

Limits inside the engine are checked only between steps of the script. Regular expressions that backtrack, sorts,
`indexOf` on an object of length 2**53, and the conversion of exceptions to strings are one step, in which a process can
be killed. It does not import the package, so that it starts in 50 ms.
"""

from __future__ import annotations

import json
import sys
from contextlib import suppress
from importlib import import_module
from typing import Any

MAX_RESULT_BYTES = 100_000_000
_SPARE_SECONDS = 5  # by then the parent has killed this process, if the parent is alive
_SPARE_BYTES = 512_000_000


def main() -> None:
    """Read a script, write the description of its records; read the records, write the result."""
    script = json.loads(sys.stdin.buffer.readline())
    _limit(script["seconds"], script["megabytes"])
    quickjs = import_module("quickjs")
    context = quickjs.Context()
    context.set_memory_limit(script["megabytes"] * 1_000_000)

    def run(code: str) -> Any:
        try:
            return context.eval(code)
        except quickjs.JSException as error:
            _answer(error=str(error).partition("\n")[0])
            raise SystemExit(0) from None

    for code in script["before"]:
        run(code)
    context.set("__params", script["parameters"])
    run("var params = JSON.parse(__params)")
    run(script["script"])
    _answer(result=str(run("__source()")))
    context.set("__records", sys.stdin.buffer.readline().decode())
    result = str(run("__result(__records)")).encode("utf-8", "replace")
    if len(result) > MAX_RESULT_BYTES:
        _answer(error=f"the result has more than {MAX_RESULT_BYTES:,} bytes")
    else:
        _answer(result=result.decode())


def _answer(**members: str) -> None:
    sys.stdout.buffer.write(json.dumps(members, ensure_ascii=True).encode() + b"\n")
    sys.stdout.buffer.flush()


def _limit(seconds: float, megabytes: int) -> None:
    """Limits for a process without parent, and for memory that the engine does not count."""
    with suppress(ImportError, ValueError, OSError):
        import resource

        processor = int(seconds) + _SPARE_SECONDS
        resource.setrlimit(resource.RLIMIT_CPU, (processor, processor))
        memory = 2 * megabytes * 1_000_000 + _SPARE_BYTES
        resource.setrlimit(resource.RLIMIT_AS, (memory, memory))


if __name__ == "__main__":
    main()
