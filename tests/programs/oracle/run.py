"""Builds objects of every type that leakscope decodes, and prints what Python itself says of each.

The first line of stdout: {"python", "objects": [{"label", "id", "type", "size", "referents": [id], "tracked", "repr"}]}.
Then waits for stdin to end, with everything alive and unchanged. The objects are in the other files of this folder.
"""

import gc
import json
import sys
import weakref

import numbers_and_containers  # noqa: F401
import instances_and_functions  # noqa: F401
import coroutines  # noqa: F401
import iterators_and_modules  # noqa: F401
from made import add, made

add("frame of module", sys._getframe())


class RecordedStop(Exception):
    pass


def safe_repr(obj):
    try:
        return repr(obj)[:300]
    except Exception:
        return ""


PREVIEWED = (str, bytes, bytearray, int, float, complex, type(None))
gc.collect()
gc.disable()
reprs = [safe_repr(obj) if type(obj) in PREVIEWED or obj is Ellipsis else "" for _, obj in made]
rows = []
for (label, obj), text in zip(made, reprs):
    try:
        size = sys.getsizeof(obj)
    except Exception:
        size = -1
    rows.append({
        "label": label,
        "id": id(obj) if type(obj) not in (weakref.ProxyType, weakref.CallableProxyType) else id(obj),
        "type": type(obj).__name__,
        "size": size,
        "referents": [id(each) for each in gc.get_referents(obj)],
        "tracked": gc.is_tracked(obj),
        "repr": text,
    })
text = json.dumps({"python": sys.version.split()[0], "objects": rows})
print(text, flush=True)
sys.stdin.read()
