"""No leak, and yet its memory stays: it allocated much and freed most of it, but a few survivors pin every page.

usage: python freed.py [megabytes to allocate, default 60]
What leakscope should say: nothing leaks; the memory is free inside pymalloc and the C library's allocator, fragmented.
Ends by itself after ten minutes.
"""

import json
import os
import sys
import time

MEGABYTES = float(sys.argv[1]) if len(sys.argv) > 1 else 60.0
LIFETIME_SECONDS = float(os.environ.get("LEAKSCOPE_DEMO_SECONDS", "600"))

survivors = []


def allocate_and_free(count, make, keep_every):
    """One of `keep_every` stays."""
    objects = [make(number) for number in range(count)]
    survivors.append(objects[::keep_every])


def main():
    half = MEGABYTES * 1_000_000 / 2
    # Small: from pymalloc, whose arenas cannot be given back while a block of them is in use.
    allocate_and_free(int(half / 100), lambda number: b"%050d" % number, 500)
    # Larger: from malloc, which gives back the end of its heap only.
    allocate_and_free(int(half / 3000), lambda number: bytearray(3000), 50)
    print(json.dumps({"ready": True, "pid": os.getpid()}), flush=True)
    started = time.monotonic()
    while time.monotonic() - started < LIFETIME_SECONDS:
        sum(len(text) for kept in survivors for text in kept[:10])
        time.sleep(0.02)


if __name__ == "__main__":
    main()
