"""A Python with a few objects of many kinds, to be copied and damaged."""

import asyncio
import collections
import contextvars
import datetime
import decimal
import functools
import itertools
import json
import os
import re
import sys
import threading
import weakref


class Plain:
    def __init__(self, number):
        self.number = number
        self.text = str(number)


class Slotted:
    __slots__ = ("left", "right", "__weakref__")


plain = [Plain(number) for number in range(100)]
slotted = [Slotted() for _ in range(50)]
for each in slotted:
    each.left = each
mixed = {number: [number, {str(number)}, (number * 2**40, float(number))] for number in range(300)}
weak = weakref.WeakValueDictionary(enumerate(plain))
deque = collections.deque(range(100))
ordered = collections.OrderedDict(a=1, b=2)
default = collections.defaultdict(list, {1: [2]})
iterators = [zip([1], [2]), map(str, [1]), itertools.chain([1], [2]), iter({1: 2}), iter([1]), reversed([1])]
cached = functools.lru_cache()(lambda number: number)
cached(1)
partial = functools.partial(cached, 1)
pattern = re.compile("a|b+")
dates = [datetime.datetime(2026, 1, day) for day in range(1, 20)]
money = decimal.Decimal("12.50")
variable = contextvars.ContextVar("variable")
local = threading.local()
local.value = [1]
views = [memoryview(bytes(100)), bytearray(b"abc"), range(5), slice(1, 2), property(str), staticmethod(str)]


def generate():
    inside = {"local": [1, 2]}
    yield inside


generator = generate()
next(generator)


async def wait(number):
    variable.set([number])
    await asyncio.sleep(600)


async def main():
    tasks = [asyncio.ensure_future(wait(number)) for number in range(10)]
    await asyncio.sleep(0)
    print(json.dumps({"pid": os.getpid(), "tasks": len(tasks)}), flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    os._exit(0)


asyncio.run(main())
