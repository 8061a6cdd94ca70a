"""A doubly linked list of small dicts that only grows: each node refers to the one before and after it.

usage: python linked_dicts.py [nodes per second, default 200]
What leakscope should say: dict grows, reachable from __main__.head through ['next']. Ends by itself after ten minutes.
"""

import json
import os
import sys
import time

RATE = float(sys.argv[1]) if len(sys.argv) > 1 else 200.0
LIFETIME_SECONDS = float(os.environ.get("LEAKSCOPE_DEMO_SECONDS", "600"))

head = {"number": 0, "previous": None, "next": None}
tail = head


def append_node(number):
    global tail
    node = {"number": number, "previous": tail, "next": None}
    tail["next"] = node
    tail = node


def main():
    print(json.dumps({"ready": True, "pid": os.getpid()}), flush=True)
    started = time.monotonic()
    number = 0
    while time.monotonic() - started < LIFETIME_SECONDS:
        while number < (time.monotonic() - started) * RATE:
            number += 1
            append_node(number)
        time.sleep(0.02)


if __name__ == "__main__":
    main()
