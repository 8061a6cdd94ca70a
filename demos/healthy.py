"""A busy program that leaks nothing: churn, caches that fill once, a bounded queue and cyclic garbage in a sawtooth.

usage: python healthy.py [rounds per second, default 50]
What leakscope should say: nothing leaks. Ends by itself after ten minutes.
"""

import collections
import functools
import json
import os
import sys
import time

RATE = float(sys.argv[1]) if len(sys.argv) > 1 else 50.0
LIFETIME_SECONDS = float(os.environ.get("LEAKSCOPE_DEMO_SECONDS", "600"))

settings = {}
recent = collections.deque(maxlen=100)


class Node:
    """Half of a reference cycle: the collector frees it, some time later."""

    def __init__(self):
        self.other = None
        self.payload = [0] * 10


@functools.lru_cache(maxsize=100)
def render(number):
    return "page %d " % number * 50


def fill_settings():
    """Filled once; then it stays as it is."""
    for number in range(2000):
        settings["option-%d" % number] = {"value": number, "text": "v" * 50}


def make_garbage(count):
    for _ in range(count):
        first, second = Node(), Node()
        first.other, second.other = second, first


def do_round(number):
    rows = [{"number": number, "row": row} for row in range(200)]
    recent.append({"number": number, "total": sum(row["row"] for row in rows)})
    render(number % 150)
    make_garbage(50)


def main():
    fill_settings()
    print(json.dumps({"ready": True, "pid": os.getpid()}), flush=True)
    started = time.monotonic()
    number = 0
    while time.monotonic() - started < LIFETIME_SECONDS:
        while number < (time.monotonic() - started) * RATE:
            number += 1
            do_round(number)
        time.sleep(0.02)


if __name__ == "__main__":
    main()
