"""A Cython class without __dealloc__: what its constructor allocates in C is lost with each of its objects.

usage: python native_lost.py [objects per second, default 50]
What leakscope should say: malloc blocks that nothing points at, of Grid's constructor. Compiles the class first. Ends by
itself after ten minutes, and prints what was lost.
"""

import json
import os
import sys
import time

sys.dont_write_bytecode = True

from native.build import build  # noqa: E402

RATE = float(sys.argv[1]) if len(sys.argv) > 1 else 50.0
LIFETIME_SECONDS = float(os.environ.get("LEAKSCOPE_DEMO_SECONDS", "600"))
CELLS = 1000

grid, language = build("grid")


def smooth():
    """Needs a grid for a moment."""
    return len(grid.Grid(CELLS))


def main():
    print(json.dumps({"ready": True, "pid": os.getpid(), "language": language}), flush=True)
    started = time.monotonic()
    number = 0
    while time.monotonic() - started < LIFETIME_SECONDS:
        while number < (time.monotonic() - started) * RATE:
            number += 1
            smooth()
        time.sleep(0.02)
    print(json.dumps({"blocks": number, "bytes": number * CELLS * 8}), flush=True)


if __name__ == "__main__":
    main()
