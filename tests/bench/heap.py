"""A heap of about N objects of mixed kinds, and the in-process ways to look at it, each on demand.

Protocol: prints one JSON line when ready, then answers each line on stdin with one JSON line:
{"way", "ms", "result", "version"}, or "missing" / "failed" with the reason. Ends when stdin does.
The in-process ways run in this process, as they must: their time is time in which the service does not answer.
Each returns how many objects (walk, guppy) or rows it saw, so that it can be seen to have done its work.
"""
import gc
import json
import sys
import time

OBJECTS_PER_TURN = 16


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
    # A turn makes 16: key, instance, 2 str, 3 int, list, 2 tuples; dict, str, float, slotted instance, 2 floats.
    orders = {}
    events = []
    for number in range(count // OBJECTS_PER_TURN):
        orders['order-%d' % number] = Order(number)
        events.append({'id': 'event-%d' % number, 'at': number * 0.5 + 0.25, 'point': Point(number * 0.1, number * 0.2)})
    return orders, events


def grow():
    """Not a way to look: the heap gains orders and events."""
    orders, events = DATA
    more_orders, more_events = build(20000 * OBJECTS_PER_TURN)
    for number, order in enumerate(more_orders.values()):
        orders['late-%d-%d' % (len(orders), number)] = order
    events.extend(more_events)
    return len(orders)


def counter():
    """The least one can do: counts of the collector's objects. Sees no str, int or float, no sizes, no references."""
    from collections import Counter

    return len(Counter(type(o).__name__ for o in gc.get_objects()))


def walk():
    """What muppy.get_objects and a sorted summary do, without their cost of bookkeeping."""
    seen = set()
    rows = []
    stack = gc.get_objects()
    # Its own containers are in the heap too, and grow while it walks.
    seen.update(map(id, (seen, rows, stack)))
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
    """The table that pympler's manual shows first: all objects by type, with sizes."""
    from pympler import muppy as module, summary

    return len(list(summary.format_(summary.summarize(module.get_objects()))))


def asizeof():
    """Deep size of the one object that holds the heap."""
    from pympler import asizeof as module

    return module.asizeof(DATA)


def guppy():
    """The table that guppy3's manual shows first: all reachable objects by kind, with sizes."""
    from guppy import hpy

    heap = hpy().heap()
    str(heap)
    return heap.count


def guppy_referrers():
    """The same by who refers to the objects, which is guppy's way to the holder of a leak."""
    from guppy import hpy

    heap = hpy().heap()
    str(heap.byrcs)
    return heap.count


WAYS = {f.__name__: f for f in (grow, counter, walk, objgraph, muppy, asizeof, guppy, guppy_referrers)}
DISTRIBUTIONS = {'objgraph': 'objgraph', 'muppy': 'pympler', 'asizeof': 'pympler', 'guppy': 'guppy3', 'guppy_referrers': 'guppy3'}


def version_of(way):
    from importlib import metadata

    distribution = DISTRIBUTIONS.get(way)
    return None if distribution is None else '%s %s' % (distribution, metadata.version(distribution))


def answer(way):
    try:
        version = version_of(way)
        started = time.perf_counter()
        result = WAYS[way]()
        ms = (time.perf_counter() - started) * 1000
    except ImportError as error:
        return {'way': way, 'missing': str(error)}
    except Exception as error:
        return {'way': way, 'failed': '%s: %s' % (type(error).__name__, error)}
    return {'way': way, 'ms': ms, 'result': result, 'version': version}


if __name__ == '__main__':
    gc.disable()
    DATA = build(int(sys.argv[1]))
    gc.enable()
    gc.collect()
    print(
        json.dumps(
            {
                'ready': True,
                'python': '.'.join(map(str, sys.version_info[:3])),
                'tracked': len(gc.get_objects()),
                'blocks': sys.getallocatedblocks(),
            }
        ),
        flush=True,
    )
    for line in sys.stdin:
        print(json.dumps(answer(line.strip())), flush=True)
        gc.collect()
