"""Leaking and healthy programs, one per function: `leaks.py NAME`.

Each leaks (or does not) on every tick, next to the same churn of common types. The first line on stdout is the truth
about it as JSON: what leaks, the holder as Python would write it, and the file and line of the code that adds. A program
ends when its stdin is closed.
"""
import asyncio
import collections
import functools
import gc
import json
import random
import sys
import threading
import time
import weakref

PERIOD = 0.02
random.seed(7)


class Ticket:
    def __init__(self, number):
        self.number = number
        self.payload = 'payload-%d' % number


class Registry:
    def __init__(self):
        self._open = {}

    def open(self, number):
        self._open[number] = Ticket(number)


registry = Registry()
events = []
ring = collections.deque(maxlen=500)
filled = {}
callbacks = []
errors = []
local = threading.local()
context_values = []
garbage_switch = []
scratch = collections.deque(maxlen=2000)


def churn():
    """What every program does besides: thousands of short-lived dicts, lists, strs and tuples, some kept for a while."""
    for i in range(200):
        scratch.append({'id': i, 'name': 'temporary-%d' % random.randrange(10 ** 9), 'tags': [i, (i, str(i))]})
    a, b = {}, {}
    a['other'], b['other'] = b, a


class Program:
    truth = {}

    def tick(self, n):
        raise NotImplementedError

    def run(self):
        n = 0
        for _ in range(60):
            churn()
        announce(self.truth)
        while not stopped.is_set():
            self.tick(n)
            churn()
            n += 1
            time.sleep(PERIOD)


def announce(truth):
    print(json.dumps(dict(truth, ready=True)), flush=True)


stopped = threading.Event()


def watch_stdin():
    sys.stdin.read()
    stopped.set()
    time.sleep(2)
    import os
    os._exit(0)


class registry_dict(Program):
    truth = {'leak': True, 'kind': 'retained', 'type': '__main__.Ticket', 'holder': 'registry._open'}

    def tick(self, n):
        registry.open(n)


class slow_dicts(Program):
    """A few small dicts a second among heavy churn of dicts."""
    truth = {'leak': True, 'kind': 'retained', 'type': 'dict', 'holder': 'events'}

    def tick(self, n):
        if n % 10 == 0:
            events.append({'at': n, 'level': 'info'})


class callback_list(Program):
    truth = {'leak': True, 'kind': 'retained', 'type': '__main__.Ticket', 'holder': 'callbacks'}

    def tick(self, n):
        ticket = Ticket(n)
        callbacks.append(lambda: ticket)


class unbounded_lru(Program):
    truth = {'leak': True, 'kind': 'retained', 'type': '__main__.Ticket', 'holder': 'cached'}

    def tick(self, n):
        cached(n)


@functools.lru_cache(maxsize=None)
def cached(n):
    return Ticket(n)


class exceptions_kept(Program):
    truth = {'leak': True, 'kind': 'retained', 'type': 'ValueError', 'holder': 'errors'}

    def tick(self, n):
        try:
            self.fail(n)
        except ValueError as error:
            errors.append(error)

    def fail(self, n):
        data = [n] * 10
        raise ValueError('number %d of %d' % (n, len(data)))


class thread_local_list(Program):
    truth = {'leak': True, 'kind': 'retained', 'type': '__main__.Ticket', 'holder': 'requests'}

    def tick(self, n):
        if not hasattr(local, 'requests'):
            local.requests = []
        local.requests.append(Ticket(n))


class linked_list(Program):
    truth = {'leak': True, 'kind': 'retained', 'type': 'dict', 'holder': 'head'}
    head = {'previous': None}

    def tick(self, n):
        node = {'number': n, 'previous': self.head, 'next': None}
        self.head['next'] = node
        self.head = node


class class_attribute_set(Program):
    truth = {'leak': True, 'kind': 'retained', 'type': 'str', 'holder': 'Seen.ids'}

    def tick(self, n):
        Seen.ids.add('request-%d-%d' % (n, random.randrange(10 ** 9)))


class Seen:
    ids = set()


class generators_kept(Program):
    truth = {'leak': True, 'kind': 'retained', 'type': 'generator', 'holder': 'events'}

    def tick(self, n):
        generator = self.numbers(n)
        next(generator)
        events.append(generator)

    def numbers(self, n):
        buffer = list(range(n, n + 20))
        for number in buffer:
            yield number


class uncollected_cycles(Program):
    truth = {'leak': True, 'kind': 'cycles', 'type': '__main__.Ticket', 'holder': None}

    def run(self):
        gc.disable()
        super().run()

    def tick(self, n):
        a, b = Ticket(n), Ticket(n)
        a.other, b.other = b, a


class pending_tasks(Program):
    truth = {'leak': True, 'kind': 'retained', 'type': '_asyncio.Task', 'holder': 'waiting'}

    def run(self):
        asyncio.run(self.main())

    async def main(self):
        self.waiting = []
        for _ in range(60):
            churn()
        announce(self.truth)
        loop = asyncio.get_running_loop()
        while not stopped.is_set():
            never = loop.create_future()
            self.waiting.append(loop.create_task(self.wait_for(never)))
            churn()
            await asyncio.sleep(PERIOD)

    async def wait_for(self, never):
        buffer = bytearray(1000)
        await never
        return buffer


class healthy_churn(Program):
    truth = {'leak': False}

    def tick(self, n):
        ring.append(Ticket(n))


class healthy_fill_once(Program):
    truth = {'leak': False}

    def tick(self, n):
        filled[n % 40] = Ticket(n)


class healthy_queue(Program):
    """A queue whose length goes up and down at random; what is in it is replaced all the time."""
    truth = {'leak': False}
    queue = collections.deque()

    def tick(self, n):
        for _ in range(random.randrange(20)):
            self.queue.append(Ticket(n))
        for _ in range(min(len(self.queue), random.randrange(20))):
            self.queue.popleft()


class healthy_sawtooth(Program):
    """Cyclic garbage that the collector takes away now and then."""
    truth = {'leak': False}

    def tick(self, n):
        for _ in range(20):
            a, b = Ticket(n), Ticket(n)
            a.other, b.other = b, a


class healthy_lru(Program):
    truth = {'leak': False}

    def tick(self, n):
        bounded(n)


@functools.lru_cache(maxsize=128)
def bounded(n):
    return Ticket(n)


class healthy_weak(Program):
    truth = {'leak': False}
    live = weakref.WeakValueDictionary()

    def tick(self, n):
        ticket = Ticket(n)
        self.live[n] = ticket
        ring.append(ticket)


if __name__ == '__main__':
    threading.Thread(target=watch_stdin, daemon=True).start()
    globals()[sys.argv[1]]().run()
