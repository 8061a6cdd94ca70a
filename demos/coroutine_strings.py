"""An asyncio service with one leaking coroutine among healthy ones: `leaking_coro` keeps every string in a local list.

usage: python coroutine_strings.py [strings per second, default 50]
What leakscope should say: str grows, held by the local `kept` of leaking_coro. Ends by itself after ten minutes.
"""

import asyncio
import json
import os
import random
import sys
import time

RATE = float(sys.argv[1]) if len(sys.argv) > 1 else 50.0
LIFETIME_SECONDS = float(os.environ.get("LEAKSCOPE_DEMO_SECONDS", "600"))


async def leaking_coro():
    kept = []
    started = time.monotonic()
    while True:
        while len(kept) < (time.monotonic() - started) * RATE:
            # 10 to 20 kB, each different.
            kept.append("%08d" % len(kept) + "x" * random.randint(10_000, 20_000))
        await asyncio.sleep(0.02)


async def handle_requests():
    """Builds and drops a response at a time, as a healthy handler does."""
    while True:
        response = [{"row": row, "text": "y" * 200} for row in range(100)]
        await asyncio.sleep(0.01)
        del response


async def serve_queue(queue):
    while True:
        job = await queue.get()
        job["done"] = True
        queue.task_done()


async def fill_queue(queue):
    while True:
        for number in range(20):
            await queue.put({"number": number, "payload": bytes(500)})
        await queue.join()
        await asyncio.sleep(0.02)


async def start_short_tasks():
    while True:
        await asyncio.gather(*(asyncio.sleep(0.005, result=number) for number in range(10)))
        await asyncio.sleep(0.02)


async def main():
    queue = asyncio.Queue(maxsize=50)
    coroutines = [
        leaking_coro(),
        handle_requests(),
        serve_queue(queue),
        fill_queue(queue),
        start_short_tasks(),
    ]
    tasks = [asyncio.ensure_future(coroutine) for coroutine in coroutines]
    print(json.dumps({"ready": True, "pid": os.getpid()}), flush=True)
    await asyncio.wait(tasks, timeout=LIFETIME_SECONDS)
    for task in tasks:
        task.cancel()


if __name__ == "__main__":
    asyncio.run(main())
