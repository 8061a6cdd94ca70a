"""Loses blocks steadily, keeps others, fills a table in the beginning: lose_slowly.py [seconds] [end=SIGTERM].

Prints what was lost, as c_losses counted it.
"""

import json
import os
import signal
import sys
import time

import c_losses

seconds = float(sys.argv[1])
for _ in range(100):
    c_losses.keep()
started = time.monotonic()
number = 0
while time.monotonic() - started < seconds:
    while number < (time.monotonic() - started) * 200:
        number += 1
        c_losses.lose(1000)
        c_losses.give_back()
    time.sleep(0.01)
print(json.dumps({"pid": os.getpid(), "counts": {"c_losses": c_losses.counted()}}), flush=True)
if "end=SIGTERM" in sys.argv:
    os.kill(os.getpid(), signal.SIGTERM)
