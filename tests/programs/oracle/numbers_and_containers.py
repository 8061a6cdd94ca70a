"""Numbers, text, containers, and what subclasses of them add. See run.py."""

import array
import collections
import datetime
import gc
import os
import pickle
import sys
import types
import typing

from made import VERSION, add, made

# ---- numbers and text

class IntChild(int):
    pass


class StrChild(str):
    pass


class BytesChild(bytes):
    pass


class FloatChild(float):
    pass


def utf8_cached(text):
    """A text that is not ASCII whose UTF-8 form was asked for by C code."""
    try:
        os.stat(text)
    except OSError:
        pass
    getattr(types.SimpleNamespace(), text, None)
    try:
        sys.intern(text)
        datetime.datetime(2020, 1, 1).strftime(text)
        compile("0", text, "exec")
    except ValueError:
        pass
    return text


for name, number in {
    "0": 0, "1": 1, "-1": -1, "300": 300, "2**30": 2**30, "-2**31": -(2**31), "2**63": 2**63, "2**89": 2**89,
    "2**200": 2**200, "-2**1000": -(2**1000),
}.items():
    add("int " + name, number)
add("int subclass", IntChild(77))
add("int subclass big", IntChild(2**100))
child = add("int subclass with attribute", IntChild(-(2**40)))
child.note = ["of an int"]
for value in (1.5, 0.1, 1e16, 1e-5, 123456789.125, -0.0, float("inf"), float("nan"), 1e22, 5e-324):
    add("float", value)
add("float subclass", FloatChild(2.5))
for value in (1 + 2j, complex(0, -1.5), complex(-0.0, 2)):
    add("complex", value)
for value in (True, False, None, Ellipsis, NotImplemented):
    add("constant", value)
for text in ("", "a", "plain", "it's", 'say "hi"', "both ' and \"", "tab\tnew\nback\\slash", "\x00\x7f", "x" * 300, "l\xe9",
             "\xa0\xad\xff", "\u0416\u0436", "\u20ac \u2028", "\U0001f40d snake", "\xe9" * 200, "\u4e2d" * 500):
    add("str", "".join(list(text)))
add("str with utf8", utf8_cached("caf\xe9 \u20ac"))
add("str subclass", StrChild("child"))
add("str subclass not ascii", StrChild("\u4e2d\u6587"))
add("str subclass empty", StrChild())
for data in (b"", b"a", b"plain", b"it's", b"\x00\xff\n", b'"\'', b"y" * 1000):
    add("bytes", data)
add("bytes subclass", BytesChild(b"abc"))
add("bytearray empty", bytearray())
add("bytearray", bytearray(b"xyz\x00"))
grown = add("bytearray grown", bytearray(b"z" * 100))
grown += b"more"
shifted = add("bytearray shifted", bytearray(b"0123456789" * 20))
del shifted[:13]


# ---- containers

class ListChild(list):
    pass


class TupleChild(tuple):
    pass


class DictChild(dict):
    pass


class SetChild(set):
    pass


class Slotted:
    __slots__ = ("first", "second", "__weakref__")


class SlottedChild(Slotted):
    __slots__ = ("third",)


class Plain:
    pass


class Many:
    def __init__(self, count):
        for i in range(count):
            setattr(self, "attribute%d" % i, [i])


for size in (0, 1, 3, 4, 5, 17, 1000):
    items = [object() for _ in range(size)]
    add("list exact %d" % size, list(items))
    appended = []
    for item in items:
        appended.append(item)
    add("list appended %d" % size, appended)
    add("tuple %d" % size, tuple(items))
    add("set %d" % size, set(items))
    add("frozenset %d" % size, frozenset(items))
    add("dict of objects %d" % size, {item: [1] for item in items})
    add("dict of str %d" % size, {"key%d" % i: item for i, item in enumerate(items)})
    add("deque %d" % size, collections.deque(items))
    add("OrderedDict %d" % size, collections.OrderedDict((i, item) for i, item in enumerate(items)))
    add("array %d" % size, array.array("d", range(size)))
    add("Many attributes %d" % min(size, 40), Many(min(size, 40)))
add("array b", array.array("b", b"hello"))
popped = add("list popped", [object() for _ in range(100)])
del popped[10:]
removed = {i: [i] for i in range(100)}
for i in range(0, 100, 3):
    del removed[i]
add("dict with removed", removed)
strings_removed = {"k%d" % i: [i] for i in range(50)}
for i in range(0, 50, 2):
    del strings_removed["k%d" % i]
add("dict of str with removed", strings_removed)
add("dict mixed keys", {"a": 1, 2: [3], (4,): {}})
add("dict cleared", dict.fromkeys(range(100))).clear()
add("dict popped all", {1: 2}).popitem()
add("dict copy", dict(removed))
holes = set(range(1000, 1200))
for i in range(1000, 1150):
    holes.discard(i)
add("set with dummies", holes)
turned = collections.deque(range(300))
turned.rotate(70)
for _ in range(100):
    turned.popleft()
turned.extendleft([[1], [2]])
add("deque turned", turned)
add("deque maxlen", collections.deque([[1]] * 5, maxlen=3))
drained = add("deque drained", collections.deque([[i] for i in range(1000)]))
while len(drained) > 2:
    drained.popleft()
add("defaultdict", collections.defaultdict(list, {"a": [1]}))
ordered = add("OrderedDict moved", collections.OrderedDict.fromkeys("abcdef"))
ordered.move_to_end("a")
del ordered["c"]
add("Counter", collections.Counter("mississippi"))
add("ChainMap", collections.ChainMap({"a": 1}, {}))
add("UserDict", collections.UserDict(a=1))
Point = collections.namedtuple("Point", "x y")
add("namedtuple", Point([1], [2]))
for cls, argument in ((ListChild, [1, [2]]), (TupleChild, (1, [2])), (DictChild, {"a": [1]}), (SetChild, {1, "b"})):
    instance = add(cls.__name__, cls(argument))
    add(cls.__name__ + " without attributes", cls(argument))
    instance.extra = ["extra"]
add("structseq stat_result", os.stat("/"))
add("structseq version_info", sys.version_info)
add("structseq flags", sys.flags)
add("structseq struct_time", __import__("time").localtime())
add("mappingproxy", types.MappingProxyType({"a": [1]}))
add("slice", slice([1], "b", 3.5))
add("range", range(1000, 10**20, 7))
add("memoryview", memoryview(bytearray(b"abc")))
add("memoryview cast", memoryview(b"abcdefgh").cast("B", (2, 4)))
add("managedbuffer", [o for o in gc.get_referents(made[-1][1]) if type(o).__name__ == "managedbuffer"][0])
add("SimpleNamespace", types.SimpleNamespace(a=[1], b="c"))
add("GenericAlias", list[int] if VERSION >= (3, 9) else typing.List[int])
if VERSION >= (3, 10):
    add("Union", int | str)
add("PickleBuffer", pickle.PickleBuffer(b"data"))
