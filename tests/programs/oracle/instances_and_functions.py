"""Instances and classes, functions and what is made of them, exceptions. See run.py."""

import collections
import datetime
import decimal
import functools
import operator
import os
import re
import sys
import types
import weakref

from made import VERSION, add, made
from numbers_and_containers import Many, Plain, Slotted, SlottedChild

# ---- instances

slotted = add("slots", Slotted())
slotted.first = [1]
third = add("slots of subclass", SlottedChild())
third.first, third.third = [1], {"a": 1}
add("instance without attributes", Plain())
plain = add("instance", Plain())
plain.a, plain.b = [1], "text"
touched = add("instance with __dict__ made", Plain())
touched.a, touched.b = [1], [2]
add("its __dict__", touched.__dict__)
dynamic = add("instance with odd dict", Plain())
dynamic.__dict__[17] = [17]
dynamic.z = [1]
add("odd __dict__", dynamic.__dict__)
replaced = add("instance with replaced dict", Plain())
replaced.a = 1
replaced.__dict__ = {"q": [1]}
deleted = add("instance with deleted attribute", Plain())
deleted.a, deleted.b = [1], [2]
del deleted.a
add("many instances", [Many(5) for _ in range(20)])
for many in made[-1][1]:
    add("Many 5", many)
add("dict of Many", made[-1][1].__dict__)
later = add("Many with later attribute", Many(5))
later.later = [1]
add("object", object())


class WithDictSlot:
    __slots__ = ("__dict__", "x")


half = add("slots with __dict__", WithDictSlot())
half.x, half.y = [1], [2]


class Meta(type):
    def __new__(mcs, name, bases, namespace, **kw):
        cls = super().__new__(mcs, name, bases, namespace)
        cls.registry = [name]
        return cls


class WithMeta(metaclass=Meta):
    __slots__ = ("s1", "s2")


class Derived(Plain, SlottedChild):
    """A documented class."""

    attribute = [1]


add("class", Plain)
add("class with slots", Slotted)
add("class with metaclass", WithMeta)
add("metaclass", Meta)
add("derived class", Derived)
derived = add("derived instance", Derived())
derived.first, derived.extra = [1], [2]
for builtin in (int, str, dict, list, type, object, Exception, OSError, collections.deque, collections.OrderedDict,
                re.Pattern, datetime.datetime, decimal.Decimal, types.GeneratorType, os.stat_result):
    add("type " + builtin.__name__, builtin)


# ---- functions

def outer(argument, *args, default=[1], **kw):
    """Documented."""
    cell_value = [argument]

    def inner(other: "str" = "x") -> int:
        return cell_value, other

    return inner


add("function", outer)
inner = add("closure", outer(1))
inner.attribute = [1]
add("lambda", lambda: None)
add("cell", inner.__closure__[0])
add("empty cell", types.CellType())
add("code", outer.__code__)
add("code with locals asked", inner.__code__)
inner.__code__.co_varnames, inner.__code__.co_code
for _ in range(2000):
    inner()
add("method", plain.__init__)
add("bound method", Many(1).__init__)
add("builtin function", len)
add("builtin method", [1].append)
add("class method of C", dict.fromkeys)
add("method descriptor", str.join)
add("classmethod descriptor", dict.__dict__["fromkeys"])
add("wrapper descriptor", int.__add__)
add("method wrapper", (5).__add__)
add("getset descriptor", type.__dict__["__dict__"])
add("member descriptor", Slotted.first)


class Described:
    @property
    def prop(self):
        """of prop"""

    @classmethod
    def cm(cls):
        pass

    @staticmethod
    def sm():
        pass


for attribute in ("prop", "cm", "sm"):
    add(attribute, Described.__dict__[attribute])
add("super", super(Derived, derived))
add("partial", functools.partial(outer, [1], key=[2]))
wrapped = functools.lru_cache(maxsize=10)(lambda x: [x])
for i in range(20):
    wrapped(i % 12)
add("lru_cache", wrapped)
unbounded = functools.lru_cache(maxsize=None)(lambda x: [x])
unbounded("a"), unbounded(3)
add("lru_cache unbounded", unbounded)
add("cmp_to_key", functools.cmp_to_key(lambda a, b: 0)([1]))
add("singledispatch", functools.singledispatch(outer))
add("module", sys.modules[__name__])
add("module re", re)
add("module sys", sys)
add("weakref", weakref.ref(plain, lambda r: None))
add("weakref plain", weakref.ref(slotted))
dead = add("weakref dead", weakref.ref(Plain()))
add("weakproxy", weakref.proxy(plain))
add("weakcallableproxy", weakref.proxy(outer))
add("WeakKeyDictionary", weakref.WeakKeyDictionary({plain: 1}))
add("WeakMethod", weakref.WeakMethod(touched.__init__) if False else weakref.WeakSet([plain]))
add("KeyedRef", list(weakref.WeakValueDictionary({"k": plain}).valuerefs())[0])
add("itemgetter", operator.itemgetter(1, "b"))
add("attrgetter", operator.attrgetter("a.b", "c"))
caller = add("methodcaller", operator.methodcaller("split", ",", maxsplit=1))
caller("a,b,c")
add("capsule", datetime.datetime_CAPI if hasattr(datetime, "datetime_CAPI") else __import__("_datetime").datetime_CAPI)


# ---- exceptions

def raising(depth):
    local = [depth]
    if depth == 0:
        raise ValueError("text", local)
    raising(depth - 1)


try:
    try:
        raising(3)
    except ValueError as error:
        caught = error
        raise KeyError("second") from error
except KeyError as error:
    chained = error
add("exception with traceback", caught)
add("exception chained", chained)
caught.extra = [1]
tb = add("traceback", chained.__traceback__)
add("traceback deeper", caught.__traceback__.tb_next)
add("frame of traceback", caught.__traceback__.tb_next.tb_frame)
add("frame of innermost", caught.__traceback__.tb_next.tb_next.tb_next.tb_next.tb_frame)
for make in (
    lambda: OSError(2, "No such file", "name", None, "name2"), lambda: ImportError("m", name="n", path="p"),
    lambda: SyntaxError("m", ("f", 1, 2, "text")), lambda: UnicodeDecodeError("utf8", b"x", 0, 1, "why"),
    lambda: UnicodeEncodeError("utf8", "x", 0, 1, "why"), lambda: SystemExit([1]), lambda: StopIteration([1]),
    lambda: StopAsyncIteration([1]), lambda: BlockingIOError(1, "x", 5), lambda: AttributeError("a"),
    lambda: NameError("n"), lambda: KeyboardInterrupt(), lambda: RecursionError("deep"), lambda: IndexError(),
):
    add("exception", make())
if VERSION >= (3, 11):
    group = add("ExceptionGroup", ExceptionGroup("g", [ValueError(1), OSError()]))
    group.add_note("note")
try:
    plain.missing
except AttributeError as error:
    add("AttributeError with obj", error)
try:
    missing_name
except NameError as error:
    add("NameError with name", error)


class OwnError(Exception):
    def __init__(self, payload):
        super().__init__("own", payload)
        self.payload = payload


add("own exception", OwnError([1]))
