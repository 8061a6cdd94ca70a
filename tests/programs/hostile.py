"""A Python in an unusual state: `hostile.py KIND`. Prints the address of a counter that a thread keeps counting up, and
the objects that are to be found: their id, type, and what holds them as leakscope writes it (a regular expression)."""

import gc
import json
import os
import sys
import threading
import time

try:
    import ctypes

    counter = ctypes.c_uint64()
    counter_address = ctypes.addressof(counter)
except ImportError:
    # A program that has Python linked into itself may not be able to load modules written in C.
    counter = type("Counter", (), {"value": 0})
    counter_address = 0
expected = []
kept_interpreters = []


class Marker:
    def __init__(self, name):
        self.name = name


def expect(found, path):
    expected.append({"id": id(found), "type": type(found).__qualname__, "path": path})


def count():
    while True:
        counter.value += 1
        time.sleep(0.0002)


def plain():
    global registry
    registry = {"key": [Marker("plain")], 7: "text " * 100, "big": 2 ** 200}
    expect(registry["key"][0], r"^__main__\.registry\['key'\]\[0\] -> __main__\.Marker$")
    expect(registry[7], r"^__main__\.registry\[7\] -> str$")
    expect(registry["big"], r"^__main__\.registry\['big'\] -> int$")


def subinterpreters():
    """Two of them, one with objects; since 3.12 with a lock and with pools of their own."""
    try:
        import _interpreters as interpreters
    except ImportError:
        import _xxsubinterpreters as interpreters
    read_end, write_end = os.pipe()
    code = """
class Inner:
    pass
inner = {"key": Inner(), "list": [Inner() for _ in range(20000)]}
import os
os.write(%d, b"%%d" %% id(inner["key"]))
""" % write_end
    # Their ids keep them alive before 3.13.
    kept_interpreters.append(interpreters.create())
    kept_interpreters.append(interpreters.create())
    interpreters.run_string(kept_interpreters[1], code)
    found = int(os.read(read_end, 100))
    expected.append({"id": found, "type": "Inner", "path": r"__main__.*\.inner\['key'\] -> __main__\.Inner$"})
    plain()


def threads():
    ready = threading.Barrier(201)
    release = threading.Event()

    def work(number):
        mine = Marker(number)
        if number in (0, 100, 199):
            expect(mine, r"^local 'mine' of work \(hostile\.py:\d+\) in thread .*-> __main__\.Marker$")
        ready.wait()
        release.wait()

    for number in range(200):
        threading.Thread(target=work, args=(number,), daemon=True).start()
    ready.wait()


def recursion():
    depth = 10000
    sys.setrecursionlimit(depth * 2)
    threading.stack_size(512 << 20)
    ready = threading.Event()

    def dive(level):
        mine = Marker(level) if level % 1000 == 0 else None
        if mine is not None:
            expect(mine, r"^local 'mine' of dive \(hostile\.py:\d+\) in thread .*-> __main__\.Marker$")
        if level == 0:
            ready.set()
            threading.Event().wait()
        dive(level - 1)

    threading.Thread(target=dive, args=(depth,), daemon=True).start()
    ready.wait()
    threading.stack_size(0)


def large():
    global numbers, bulk, chain
    numbers = [number for number in range(5000000)]
    bulk = b"leakscope" * (200000000 // 9)
    last = chain = Marker("first")
    for _ in range(1000000):
        last.next = last = Link()
    del _
    expect(numbers[4999999], r"^__main__\.numbers\[4999999\] -> int$")
    expect(bulk, r"^__main__\.bulk -> bytes$")
    expect(last, r"^__main__\.chain.*\.next.* -> __main__\.Link$")
    del last


class Link:
    __slots__ = ("next",)


def resizing():
    """Dicts, lists and sets that change their size all the time, and one object in each that stays."""
    global moving
    moving = {"dict": {"stays": Marker("dict")}, "list": [Marker("list")], "instance": Marker("instance")}
    stays = Marker("set")
    moving["set"] = {stays}

    def change():
        number = 0
        while True:
            for i in range(3000):
                number += 1
                moving["dict"][number] = [number]
                moving["list"].append({number})
                moving["set"].add(number)
                setattr(moving["instance"], "attribute%d" % (i % 40), number)
            moving["dict"] = {"stays": moving["dict"]["stays"]}
            del moving["list"][1:]
            moving["set"].intersection_update([stays])
            moving["instance"].__dict__.clear()
            counter.value += 1

    threading.Thread(target=change, daemon=True).start()
    threading.Thread(target=change, daemon=True).start()
    expect(moving["dict"]["stays"], r"-> __main__\.Marker$")
    expect(moving["list"][0], r"-> __main__\.Marker$")
    expect(stays, r"-> __main__\.Marker$")
    expect(moving["instance"], r"^__main__\.moving\['instance'\] -> __main__\.Marker$")


def collecting():
    plain()
    gc.collect()

    def collect():
        while True:
            gc.collect()
            counter.value += 1

    threading.Thread(target=collect, daemon=True).start()


def collecting_large():
    """A collection takes so long that it runs at nearly every moment."""
    global ballast
    ballast = [[number] for number in range(500000)]
    collecting()


def tampering():
    """What programs do to their interpreter besides."""
    gc.disable()
    sys.setswitchinterval(1e-6)
    sys.settrace(lambda *_: None)
    threading.setprofile(lambda *_: None)
    gc.freeze()
    sys.modules["hostile_object"] = Marker("no module")
    sys.modules["hostile_none"] = None
    sys.version = None
    if sys.version_info >= (3, 11):
        sys.hexversion = "no version"
    plain()


if __name__ == "__main__":
    kind = globals()[sys.argv[1].replace("-", "_")]
    threading.Thread(target=count, daemon=True).start()
    kind()
    print(
        json.dumps({"pid": os.getpid(), "counter": counter_address, "expected": expected}),
        flush=True,
    )
    sys.stdin.read()
    # Not waiting for what never ends.
    os._exit(0)
