"""A Python that allocates in known places while tracemalloc is on; its snapshot is the truth: `traced.py FRAMES [COUNT]`."""

import gc
import json
import os
import sys
import tracemalloc


class Plain:
    def __init__(self, number):
        self.number = number


class Slotted:
    __slots__ = ("value", "__weakref__")


def make_plain(number):
    return Plain(number)


def make_dict(number):
    return {"key %d" % number: number + 2**40}


def make_recursive(depth):
    return bytearray(3000) if depth == 0 else make_recursive(depth - 1)


def track_domains():
    """What numpy does by PyTraceMalloc_Track: memory of nobody known to Python, in domains of its own."""
    import ctypes

    track = ctypes.pythonapi.PyTraceMalloc_Track
    track.argtypes = [ctypes.c_uint, ctypes.c_size_t, ctypes.c_size_t]
    for number in range(1, 40):
        track(7, 0x1000 * number, number)
        track(389047, 0x1000 * number, 2 * number)


frames = int(sys.argv[1])
count = int(sys.argv[2]) if len(sys.argv) > 2 else 300
if frames > 0 and not tracemalloc.is_tracing():
    tracemalloc.start(frames)

kept = [make_plain(number) for number in range(count)] + [make_dict(number) for number in range(count)]
kept.append(make_recursive(20))
kept.append("x" * 5000)
slotted = Slotted()
slotted.value = [1, 2]
kept.append(slotted)
if "domains" in sys.argv:
    track_domains()

places = {}
if tracemalloc.is_tracing():
    for name, thing in [("plain", kept[0]), ("dict", kept[count]), ("bytearray", kept[2 * count]),
                        ("str", kept[2 * count + 1]), ("slotted", slotted), ("list", slotted.value),
                        ("key", next(iter(kept[count]))), ("class", Plain), ("function", make_plain), ("older", None)]:
        traceback = tracemalloc.get_object_traceback(thing)
        site = None if traceback is None else [traceback[-1].filename, traceback[-1].lineno]
        places[name] = [id(thing), site]
gc.collect()
gc.disable()
print(json.dumps({"pid": os.getpid(), "places": places, "plainLine": make_plain.__code__.co_firstlineno + 1}), flush=True)
# Still, until somebody has looked; then the truth is what it was but for a handful of blocks.
os.read(0, 1)
traced, peak = tracemalloc.get_traced_memory()
own = tracemalloc.get_tracemalloc_memory()
snapshot = tracemalloc.take_snapshot() if tracemalloc.is_tracing() else None


def top(key, cumulative, *filters):
    """The first places, as leakscope lists them: [file, line, bytes, count]."""
    chosen = snapshot.filter_traces([tracemalloc.Filter(*each) for each in filters])
    rows = chosen.statistics(key, cumulative)
    return [[row.traceback[0].filename, row.traceback[0].lineno, row.size, row.count] for row in rows[:10]]


truth = {"rows": [], "traced": traced, "peak": peak, "own": own, "tops": {}}
if snapshot is not None:
    # (domain, size, ((file, line), ...)), the innermost frame first.
    truth["rows"] = [list(row[:3]) for row in snapshot.traces._traces]
    inside = (True, "*/traced.py")
    truth["tops"] = {
        "lines": top("lineno", False),
        "files": top("filename", False),
        "inside": top("lineno", False, inside),
        "outside": top("lineno", False, (False, "*/tra[a-d]ed.py")),
        "line": top("lineno", False, (True, "*/traced.py", make_plain.__code__.co_firstlineno + 1)),
        "anywhere": top("lineno", False, (True, "*/traced.py", None, True)),
        "nowhere": top("lineno", False, (False, "*/traced.py", None, True)),
    }
print(json.dumps(truth), flush=True)
sys.stdin.readline()
