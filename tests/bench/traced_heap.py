"""About COUNT traced blocks on a few hundred lines: `traced_heap.py COUNT FRAMES`. Prints a JSON line when ready; for each
line that it reads it takes its own snapshot and prints the time and the memory that this took.
"""
import gc
import json
import os
import sys
import time
import tracemalloc

MAKERS = 400


def resident():
    with open("/proc/self/status") as status:
        return {line.split(":")[0]: int(line.split()[1]) * 1024 for line in status if line.startswith(("VmHWM", "VmRSS"))}


count, frames = int(sys.argv[1]), int(sys.argv[2])
source = "\n".join(f"def make_{i}(n): return ['text %d' % n, n + 2**40, {i}]" for i in range(MAKERS))
namespace = {}
exec(compile(source, "/srv/bench/makers.py", "exec"), namespace)
makers = [namespace[f"make_{i}"] for i in range(MAKERS)]


def descend(depth, make, n):
    return make(n) if depth == 0 else descend(depth - 1, make, n)


gc.disable()
tracemalloc.start(frames)
kept = []
# A list, its items, a str and an int each.
for n in range(count // 4):
    kept.append(descend(n % 12, makers[n % MAKERS], n))
# As in a service.
gc.enable()
print(json.dumps({"traced": tracemalloc.get_traced_memory()[0]}), flush=True)
for line in sys.stdin:
    before = resident()
    started = time.perf_counter()
    snapshot = tracemalloc.take_snapshot()
    taken = time.perf_counter()
    top = snapshot.statistics("lineno")[:10]
    ended = time.perf_counter()
    after = resident()
    print(json.dumps({"traces": len(snapshot.traces), "snapshotMs": (taken - started) * 1000,
                      "statisticsMs": (ended - taken) * 1000, "grownBytes": after["VmHWM"] - before["VmRSS"]}), flush=True)
    del snapshot
