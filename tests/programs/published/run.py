"""Leaks of CPython and its extension modules that were published as issues: run.py NAME ...

Prints {"leaks": ...}, how many of them can be tried in this Python, then answers each line of stdin, a number, by triggering
them that often, and prints what it counts of itself: {"blocks": ..., "mallocBytes": ..., "references": ...} that pymalloc and
malloc have given out more than before, and references to one object. Where a leak is fixed it counts no more. gh-NNNN and
bpo-NNNN are the issues' numbers. The leaks are in the other files of this folder.
"""

import ctypes
import gc
import json
import sys

import kept  # noqa: F401
import lost_memory  # noqa: F401
from leaks import LEAKS
from lost_references import HashedBySharedTag


class MallocCounts(ctypes.Structure):
    """struct mallinfo2 of glibc 2.33 and later."""

    _fields_ = [(name, ctypes.c_size_t) for name in "arena ordblks smblks hblks hblkhd usmblks fsmblks uordblks fordblks keepcost".split()]


class OldMallocCounts(ctypes.Structure):
    """struct mallinfo."""

    _fields_ = [(name, ctypes.c_int) for name, _ in MallocCounts._fields_]


libc = ctypes.CDLL(None)
count_malloc = getattr(libc, "mallinfo2", None)
if count_malloc is None:
    count_malloc = libc.mallinfo
    count_malloc.restype = OldMallocCounts
else:
    count_malloc.restype = MallocCounts


def count():
    gc.collect()
    told = count_malloc()
    return sys.getallocatedblocks(), told.uordblks + told.hblkhd, sys.getrefcount(HashedBySharedTag.shared)


def answer(runs, times):
    before = count()
    for _ in range(times):
        for run in runs:
            run()
    counted = zip(("blocks", "mallocBytes", "references"), before, count())
    print(json.dumps({name: after - first for name, first, after in counted}), flush=True)


def prepare(name):
    try:
        run = LEAKS[name]()
        run()
        return [run]
    except (ImportError, AttributeError, TypeError, RuntimeError):
        return []


def main():
    runs = [run for name in sys.argv[1:] for run in prepare(name)]
    print(json.dumps({"leaks": len(runs)}), flush=True)
    for line in sys.stdin:
        answer(runs, int(line))


main()
