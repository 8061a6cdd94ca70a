"""A heap of about N objects of mixed kinds, and the in-process ways to look at it, each on demand.

Protocol: prints one JSON line when ready, then answers each line on stdin with one JSON line.
The in-process ways run in this process, as they must: their time is time in which the service does not answer.
"""
import gc
import json
import sys
import time


class Order:
    def __init__(self, number):
        self.number = number + 1000
        self.customer = 'customer-%d' % number
        self.lines = [(number + 1000, 'sku-%d' % number), (number + 2000, None)]


class Point:
    __slots__ = ('x', 'y')

    def __init__(self, x, y):
        self.x = x
        self.y = y


def build(count):
    # About 14 objects a turn: instance, its values, list, 2 tuples, 4 str, ints, dict, slotted instance, floats.
    orders = {}
    events = []
    for number in range(count // 14):
        orders['order-%d' % number] = Order(number)
        events.append({'id': 'event-%d' % number, 'at': number * 0.5 + 0.25, 'point': Point(number * 0.1, number * 0.2)})
    return orders, events


def counter():
    from collections import Counter

    return len(Counter(type(o).__name__ for o in gc.get_objects()))


def walk():
    """What muppy.get_objects and summary do, without their cost of bookkeeping."""
    seen = set()
    rows = []
    stack = list(gc.get_objects())
    while stack:
        o = stack.pop()
        i = id(o)
        if i in seen:
            continue
        seen.add(i)
        rows.append((sys.getsizeof(o), type(o)))
        for r in gc.get_referents(o):
            if id(r) not in seen:
                stack.append(r)
    rows.sort(key=lambda row: -row[0])
    return len(rows)


def objgraph():
    import objgraph as module

    return len(module.most_common_types(limit=20, shortnames=False))


def muppy():
    from pympler import muppy as module, summary

    return len(summary.summarize(module.get_objects()))


def asizeof():
    from pympler import asizeof as module

    return module.asizeof(DATA)


def guppy():
    from guppy import hpy

    return hpy().heap().count


WAYS = {f.__name__: f for f in (counter, walk, objgraph, muppy, asizeof, guppy)}

if __name__ == '__main__':
    gc.disable()
    DATA = build(int(sys.argv[1]))
    gc.enable()
    gc.collect()
    print(json.dumps({'ready': True, 'tracked': len(gc.get_objects()), 'blocks': sys.getallocatedblocks()}), flush=True)
    for line in sys.stdin:
        name = line.strip()
        started = time.perf_counter()
        try:
            result = WAYS[name]()
        except ImportError as error:
            print(json.dumps({'way': name, 'missing': str(error)}), flush=True)
            continue
        except Exception as error:
            print(json.dumps({'way': name, 'failed': '%s: %s' % (type(error).__name__, error)}), flush=True)
            continue
        print(json.dumps({'way': name, 'ms': (time.perf_counter() - started) * 1000, 'result': result}), flush=True)
