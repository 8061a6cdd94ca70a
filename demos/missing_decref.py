"""A C function that forgets a Py_DECREF: a bytes object of each call stays for ever, and nothing refers to it.

usage: python missing_decref.py [calls per second, default 500]
What leakscope should say: bytes objects grow that have a reference nobody holds. Compiles the function first. Ends by
itself after ten minutes, and prints what was lost.
"""

import json
import os
import sys
import time

sys.dont_write_bytecode = True

from native.build import build  # noqa: E402

RATE = float(sys.argv[1]) if len(sys.argv) > 1 else 500.0
LIFETIME_SECONDS = float(os.environ.get("LEAKSCOPE_DEMO_SECONDS", "600"))
LENGTH = 400

module, language = build("checksum")


def handle_request(number):
    return module.checksum(("request %d " % number).ljust(LENGTH, "x"))


def main():
    print(json.dumps({"ready": True, "pid": os.getpid(), "language": language}), flush=True)
    started = time.monotonic()
    number = 0
    while time.monotonic() - started < LIFETIME_SECONDS:
        while number < (time.monotonic() - started) * RATE:
            number += 1
            handle_request(number)
        time.sleep(0.02)
    print(json.dumps({"blocks": number, "bytes": number * sys.getsizeof(b"x" * LENGTH)}), flush=True)


if __name__ == "__main__":
    main()
