"""Leaks of backends with threads, queues, timers and context variables.

`concurrency.py NAME [FILE]`; see trial.py.
"""

import asyncio
import concurrent.futures
import contextvars
import itertools
import queue
import threading
import time

from trial import PERIOD, leak, main, note, ready, request, serve, serve_async


@leak("dict", r"trail|Context|context")
def contextvar_list():
    """A list in a context variable that nobody resets."""
    steps = contextvars.ContextVar("steps")
    steps.set([])

    def handle(number):
        steps.get().append({"step": number})

    serve(handle)


def worker_of(pool_local):
    def work(number):
        if not hasattr(pool_local, "seen"):
            pool_local.seen = []
        pool_local.seen.append({"number": number})
    return work


@leak("dict", r"seen$")
def thread_locals():
    local = threading.local()
    work = worker_of(local)
    executor = concurrent.futures.ThreadPoolExecutor(4)
    serve(lambda number: executor.submit(work, number).result())


jobs = queue.Queue()


@leak("dict", r"__main__\.jobs\.queue$")
def queue_without_consumer():
    def consume():
        while True:
            request(jobs.get()["number"])
            time.sleep(0.05)
    threading.Thread(target=consume, daemon=True).start()

    for number in itertools.count():
        request(number)
        jobs.put({"number": number, "payload": "x" * 200})
        note(jobs.qsize())
        if number == 150:
            ready()
        time.sleep(PERIOD)


@leak("threading.Thread", r"_active|threading")
def threads_never_end():
    stop = threading.Event()

    def poll(number):
        buffer = ["row %d" % number] * 100
        stop.wait()
        return buffer
    threading.stack_size(65536)

    def handle(number):
        if number % 4:
            return 0
        threading.Thread(target=poll, args=(number,), daemon=True).start()

    serve(handle, 40)


@leak("asyncio.events.TimerHandle", r"_scheduled$")
def timers():
    async def handle(number):
        asyncio.get_running_loop().call_later(3600, request, number)

    asyncio.run(serve_async(handle))


if __name__ == "__main__":
    main()
