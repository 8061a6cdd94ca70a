"""What the programs of this folder have in common: each is a function, some leak, some are healthy.

The first line on stdout is the truth as JSON: {"leak", "type", "holder"}, `holder` as a regular expression. What has leaked
so far is counted by the program itself: each line of FILE is `seconds-since-epoch count`. Ends when its stdin is closed.
"""

import asyncio
import collections
import itertools
import json
import os
import random
import sys
import threading
import time

PERIOD = 0.01
random.seed(11)
programs = {}
recent = collections.deque(maxlen=100)
truth = {}
leaked = 0
journal = None


def leak(type, holder):
    def add(function):
        programs[function.__name__] = (function, {"leak": True, "type": type, "holder": holder})
        return function

    return add


def healthy(function):
    programs[function.__name__] = (function, {"leak": False})
    return function


def note(count):
    """How many objects have leaked so far."""
    if journal is not None:
        os.write(journal, b"%.6f %d\n" % (time.time(), count))


def request(number):
    """What every request does besides."""
    items = [{"sku": "sku-%d" % i, "price": i * 1.5} for i in range(15)]
    body = json.loads(json.dumps({"id": number, "items": items}))
    recent.append(body)
    return sum(item["price"] for item in body["items"])


def ready():
    print(json.dumps(truth), flush=True)


def count_leaked(got):
    global leaked
    leaked += 1 if got is None else got
    note(leaked)


def serve(handle, warm_up=150):
    """Calls `handle` for ever; it returns how many objects it leaked (None: one)."""
    for number in itertools.count():
        request(number)
        count_leaked(handle(number))
        if number == warm_up:
            ready()
        if number > warm_up:
            time.sleep(PERIOD)


async def serve_async(handle, warm_up=150):
    for number in itertools.count():
        request(number)
        count_leaked(await handle(number))
        if number == warm_up:
            ready()
        await asyncio.sleep(PERIOD if number > warm_up else 0)


def end_with_stdin():
    while os.read(0, 100):
        pass
    os._exit(0)


def main():
    global journal
    threading.Thread(target=end_with_stdin, daemon=True, name="stdin").start()
    run, known = programs[sys.argv[1]]
    truth.update(known)
    if len(sys.argv) > 2:
        journal = os.open(sys.argv[2], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    run()
