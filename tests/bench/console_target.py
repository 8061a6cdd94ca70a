"""A program that consoles come into: `asyncio` with a timer of 20 ms, `idle` asyncio, or `sleeping`. The first line is JSON. A
line of stdin is code: it is run by exec() 100 times, as a console would, and the milliseconds of each are printed as JSON."""
import asyncio
import json
import os
import sys
import threading
import time

RUNS = 100


def answer():
    for code in sys.stdin:
        times = []
        for _ in range(RUNS):
            start = time.perf_counter()
            exec(code, {})
            times.append((time.perf_counter() - start) * 1000)
        print(json.dumps(times), flush=True)
    os._exit(0)


async def tick(seconds):
    while True:
        await asyncio.sleep(seconds)


threading.Thread(target=answer, daemon=True).start()
print(json.dumps({"pid": os.getpid()}), flush=True)
if sys.argv[1] == "sleeping":
    time.sleep(1e6)
asyncio.run(tick(0.02 if sys.argv[1] == "asyncio" else 1e6))
