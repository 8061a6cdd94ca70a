"""Programs such as a backend has whose memory moves and that do not leak.

`healthy.py NAME [FILE]`; see trial.py.
"""

import asyncio
import collections
import itertools
import random
import re
import sqlite3
import time

from trial import PERIOD, healthy, main, request, serve, serve_async


class Connection:
    def __init__(self, number):
        self.number = number


@healthy
def ring_in_list():
    """A ring of a fixed length that fills slowly."""
    ring = [None] * 100_000

    def handle(number):
        ring[number % len(ring)] = {"number": number}

    serve(handle)


@healthy
def histogram():
    """Counters that exist from the start: their values become ints of their own one by one."""
    counts = [0] * 3000
    serve(lambda number: [counts.__setitem__(i, counts[i] + random.randrange(3)) for i in range(3000)] and None)


class TtlCache:
    def __init__(self, seconds):
        self.seconds = seconds
        self.entries = collections.OrderedDict()

    def put(self, key, value):
        now = time.monotonic()
        self.entries[key] = (now + self.seconds, value)
        while self.entries:
            first = next(iter(self.entries))
            if self.entries[first][0] > now:
                break
            del self.entries[first]


@healthy
def ttl_short():
    cache = TtlCache(0.8)
    serve(lambda number: cache.put(number, {"number": number}))


@healthy
def ttl_full():
    """Expires after longer than a round, and has been full for a while."""
    cache = TtlCache(2.5)
    start = time.monotonic()
    for number in itertools.count():
        request(number)
        cache.put(number, {"number": number})
        if number % 50 == 0 and time.monotonic() - start > 4:
            break
        time.sleep(PERIOD)

    serve(lambda number: cache.put(number + 10 ** 6, {"number": number}))


@healthy
def batches():
    """Collects rows and writes them out every 1.3 seconds."""
    batch = []
    due = [time.monotonic() + 1.3]

    def handle(number):
        batch.append({"number": number, "text": "row %d" % number})
        if time.monotonic() > due[0]:
            batch.clear()
            due[0] += 1.3

    serve(handle)


@healthy
def cursors():
    """sqlite3 keeps a weak reference to each cursor, and drops the dead ones once in 200."""
    connection = sqlite3.connect(":memory:")

    def handle(number):
        if number % 5 == 0:
            connection.execute("select 1").fetchall()

    serve(handle)


@healthy
def loads_once():
    """A large table is loaded a second after the start, and stays."""
    tables = {}
    start = time.monotonic()

    def handle(number):
        if not tables and time.monotonic() - start > 2:
            tables["prices"] = {i: {"sku": "sku-%d" % i, "price": i * 1.1} for i in range(50_000)}

    serve(handle)


@healthy
def warm_up_of_cache():
    """A cache of a bounded set of keys, asked at random: it grows ever more slowly."""
    cache = {}

    def handle(number):
        for _ in range(6):
            key = random.randrange(1500)
            if key not in cache:
                cache[key] = {"key": key, "value": "v%d" % key}

    serve(handle, 20)


@healthy
def tasks_discarded():
    background = set()

    async def send(number):
        await asyncio.sleep(random.random() * 0.1)

    async def handle(number):
        task = asyncio.ensure_future(send(number))
        background.add(task)
        task.add_done_callback(background.discard)

    asyncio.run(serve_async(handle))


@healthy
def timeouts():
    """Each request has a time limit of minutes, whose timer is cancelled when it is done."""
    async def work(number):
        await asyncio.sleep(0)

    async def handle(number):
        for _ in range(5):
            await asyncio.wait_for(work(number), 300)

    asyncio.run(serve_async(handle))


@healthy
def regular_expressions():
    """Patterns made up at run time: the cache of `re` fills and is bounded."""
    serve(lambda number: re.findall(r"item-%d\b" % (number % 4000), "item-1 item-2") is None and 0, 30)


@healthy
def classes_collected():
    """A namedtuple class per request: cyclic garbage."""
    def handle(number):
        if number % 4 == 0:
            collections.namedtuple("Row", "a b c")(1, 2, 3)

    serve(handle)


@healthy
def grows_then_plateau():
    """A registry of the users that are online: as many come as go."""
    online = {}

    def handle(number):
        for _ in range(5):
            online[random.randrange(10 ** 9)] = Connection(number)
        while len(online) > 900 + 100 * random.random():
            online.pop(next(iter(online)))

    serve(handle, 400)


if __name__ == "__main__":
    main()
