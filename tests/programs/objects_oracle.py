"""Builds objects of every type that leakscope decodes, and prints what Python itself says of each.

The first line of stdout: {"python", "objects": [{"label", "id", "type", "size", "referents": [id], "tracked", "repr"}]}.
Then waits for stdin to end, with everything alive and unchanged.
"""

import array
import ast
import asyncio
import collections
import contextvars
import csv
import datetime
import decimal
import functools
import gc
import io
import itertools
import json
import mmap
import operator
import os
import pickle
import queue
import random
import re
import socket
import struct
import sys
import threading
import types
import typing
import weakref

VERSION = sys.version_info[:2]
made = []


def add(label, obj):
    made.append((label, obj))
    return obj


# --- numbers and text -------------------------------------------------------------------------------------------------
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

# --- containers -------------------------------------------------------------------------------------------------------
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

# --- instances --------------------------------------------------------------------------------------------------------
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

# --- functions --------------------------------------------------------------------------------------------------------
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

# --- exceptions -------------------------------------------------------------------------------------------------------
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

# --- generators and coroutines ----------------------------------------------------------------------------------------
def generator(first, second=None):
    local = [first]
    for item in [1, 2, 3]:
        yield (local, item)
    unreached = 1
    return unreached


def delegating():
    mine = ["delegating"]
    yield from generator(mine)


def with_cell():
    value = [1]
    yield lambda: value


def handling():
    try:
        raise ValueError("inside")
    except ValueError as inner_error:
        yield inner_error


add("generator not started", generator([1]))
suspended = add("generator suspended", generator([2]))
next(suspended)
add("generator delegating", delegating())
next(made[-1][1])
add("generator with cell", with_cell())
next(made[-1][1])
add("generator in except", handling())
next(made[-1][1])
finished = add("generator finished", generator([3]))
list(finished)
add("generator expression", (x for x in [[1], [2]]))
next(made[-1][1])
framed = add("generator with frame object", generator([4]))
next(framed)
framed.gi_frame.f_locals
add("its frame", framed.gi_frame)


@types.coroutine
def stop():
    yield "stopped"


async def coroutine(argument):
    local = [argument]
    await stop()
    return local


async def awaiting(argument):
    await coroutine(argument)


async def async_generator():
    local = ["async"]
    yield local
    await stop()
    yield local


started = add("coroutine not started", coroutine([1]))
waiting = add("coroutine suspended", coroutine([2]))
waiting.send(None)
nested = add("coroutine nested", awaiting([3]))
nested.send(None)
add("coroutine awaited", nested.cr_await)
add("coroutine wrapper", coroutine([5]).__await__())
agen = add("async generator", async_generator())
asend = add("asend", agen.asend(None))
try:
    asend.send(None)
except StopIteration:
    pass
second = add("asend suspended", agen.asend([7]))
second.send(None)
add("athrow", async_generator().athrow(ValueError("x")))
add("aclose", async_generator().aclose())
add("agen not started", async_generator())
if VERSION >= (3, 10):
    async def main_anext():
        return anext(async_generator(), [1])

    try:
        main_anext().send(None)
    except StopIteration as stopped:
        add("anext_awaitable", stopped.value)


def current_frame():
    local = ["of frame"]
    return sys._getframe()


frame = add("frame of finished function", current_frame())
add("frame of module", sys._getframe())
if VERSION >= (3, 13):
    add("FrameLocalsProxy", frame.f_locals)


# --- asyncio and context variables -------------------------------------------------------------------------------------
variable = add("ContextVar", contextvars.ContextVar("variable", default=[1]))
token = add("Token", variable.set([2]))
variables = [contextvars.ContextVar("v%d" % i) for i in range(60)]
for i, each in enumerate(variables):
    each.set([i])
context = add("Context", contextvars.copy_context())
add("Context empty", contextvars.Context())


def add_hamt(node):
    for referent in gc.get_referents(node):
        if "hamt" in type(referent).__name__:
            add(type(referent).__name__, referent)
            add_hamt(referent)


add_hamt(context)


class SameHash(contextvars.ContextVar if False else object):
    pass


async def waits_for(future):
    local = ["task local"]
    await future
    return local


loop = asyncio.new_event_loop()
future = add("Future pending", loop.create_future())
done_future = add("Future done", loop.create_future())
done_future.set_result([1])
failed = add("Future failed", loop.create_future())
failed.set_exception(ValueError("x"))
failed.exception()
cancelled = add("Future cancelled", loop.create_future())
cancelled.cancel()
future.add_done_callback(print)
future.add_done_callback(len)
task = add("Task", loop.create_task(waits_for(future)))
named = add("Task not started", loop.create_task(waits_for(done_future)))
if VERSION >= (3, 8):
    named.set_name("a name")


async def run_a_little():
    await asyncio.sleep(0)
    await asyncio.sleep(0)


loop.run_until_complete(run_a_little())
unstarted = add("Task never run", loop.create_task(waits_for(loop.create_future())))
add("gather", asyncio.gather(task, return_exceptions=True) if VERSION < (3, 10) else None)
add("FutureIter", iter(future.__await__()))
for callback in gc.get_referents(future) + gc.get_referents(unstarted):
    add("callback of future", callback)
handles = list(loop._ready)
for handle in handles:
    add("Handle", handle)
    add("callback of handle", handle._callback)
add("event loop", loop)
add("Event", asyncio.Event())

# --- iterators ---------------------------------------------------------------------------------------------------------
def advanced(iterator, times=1):
    for _ in range(times):
        next(iterator)
    return iterator


lists = [[1], [2], [3], [4]]
for iterator in (
    iter(lists), reversed(lists), iter(tuple(lists)), iter("text"), iter("\u4e2d\u6587"), iter(b"bytes"),
    iter(bytearray(b"abc")), iter(set(map(str, lists))), iter({"a": 1}), iter({"a": 1}.values()), iter({"a": [1]}.items()),
    reversed({"a": 1}), iter(range(3)), iter(range(10**20, 10**21)), iter(collections.deque(lists)),
    reversed(collections.deque(lists)), iter(array.array("i", [1, 2])), iter(collections.OrderedDict(a=1)),
    enumerate(lists), enumerate(lists, 2**70), reversed(tuple(lists)), zip(lists, "abcd"), map(str, lists),
    filter(None, lists), itertools.chain(lists, lists), itertools.chain.from_iterable([lists]), itertools.cycle(lists),
    itertools.dropwhile(bool, [[], *lists]), itertools.takewhile(bool, lists), itertools.islice(iter(lists), 3),
    itertools.starmap(max, [(1, 2), (3, 4)]), itertools.product(lists, "ab"), itertools.combinations(lists, 2),
    itertools.combinations_with_replacement(lists, 2), itertools.permutations(lists, 3), itertools.accumulate([1, 2], initial=[]) if False else itertools.accumulate([1000, 2000]),
    itertools.compress(lists, [1, 1]), itertools.filterfalse(len, [[], []]), itertools.count(10**20, 3),
    itertools.count(1), itertools.repeat(lists), itertools.zip_longest(lists, "a", fillvalue=[0]),
    itertools.groupby(lists, key=len), *itertools.tee(iter(lists), 2), iter(memoryview(b"abc")), re.finditer("a", "aaa"),
    iter(int, 1),
):
    add("iterator " + type(iterator).__name__, iterator)
    add("iterator advanced " + type(iterator).__name__, advanced(iterator))
add("exhausted list iterator", iter([]))
list(made[-1][1])
group_key, grouper = next(itertools.groupby([[1], [1], [2]], key=len))
add("grouper", grouper)
add("tee data", [o for o in gc.get_referents(itertools.tee(iter(lists))[0])][0])
if VERSION >= (3, 10):
    add("pairwise", advanced(itertools.pairwise(lists)))
if VERSION >= (3, 12):
    add("batched", advanced(itertools.batched(lists, 2)))
for view in ({"a": 1}.keys(), {"a": 1}.values(), {"a": 1}.items(), collections.OrderedDict(a=1).keys()):
    add("view", view)


class Sequence:
    def __getitem__(self, index):
        return [index][index]


add("sequence iterator", iter(Sequence()))

# --- modules -----------------------------------------------------------------------------------------------------------
bytes_io = add("BytesIO", io.BytesIO())
bytes_io.write(b"x" * 1000)
add("BytesIO initial", io.BytesIO(b"initial value"))
exported = add("BytesIO with buffer", io.BytesIO(b"abc" * 10))
add("BytesIO buffer", exported.getbuffer())
add("StringIO", io.StringIO("text"))
written = add("StringIO written", io.StringIO())
written.write("abc" * 100)
accumulating = add("StringIO accumulating", io.StringIO())
accumulating.write("first ")
accumulating.write("second")
opened = add("TextIOWrapper", open(__file__, encoding="utf-8"))
opened.read(10)
add("BufferedReader", opened.buffer)
add("FileIO", opened.buffer.raw)
temporary = open("/dev/null", "wb")
add("BufferedWriter", temporary)
add("BufferedRWPair", io.BufferedRWPair(io.BytesIO(), io.BytesIO()))
add("newline decoder", io.IncrementalNewlineDecoder(None, True))
add("stdin", sys.stdin)


class OwnRaw(io.RawIOBase):
    pass


own_raw = add("own RawIOBase", OwnRaw())
own_raw.attribute = [1]
pattern = add("Pattern", re.compile("(?P<name>a+)|(b)"))
match = add("Match", pattern.search("xxaayy"))
match.regs
add("Match of bytes", re.match(b"a", b"abc"))
add("Scanner", pattern.scanner("aaa"))
add("lock", threading.Lock())
add("RLock", threading.RLock())
local = add("local", threading.local())
local.value = [1]
add("Condition", threading.Condition())
add("Event of threading", threading.Event())
add("Thread not started", threading.Thread(target=print, args=([1],)))
add("main thread", threading.main_thread())
simple = add("SimpleQueue", queue.SimpleQueue())
for i in range(50):
    simple.put([i])
for i in range(20):
    simple.get()
add("SimpleQueue empty", queue.SimpleQueue())
add("Queue", queue.Queue())
for value in (
    datetime.datetime(2024, 1, 2, 3, 4, 5), datetime.datetime(2024, 1, 2, tzinfo=datetime.timezone.utc),
    datetime.date(2024, 1, 2), datetime.time(1, 2), datetime.time(1, 2, tzinfo=datetime.timezone.utc),
    datetime.timedelta(5, 6, 7), datetime.timezone(datetime.timedelta(hours=1), "name"), datetime.timezone.utc,
    decimal.Decimal("1.5"), decimal.Decimal("9" * 200), decimal.getcontext(), decimal.Context(),
    random.Random(1), struct.Struct("<iq10s"), struct.iter_unpack("i", b"abcdabcd"),
):
    add("value " + type(value).__name__, value)
add("csv reader", csv.reader(iter(["a,b", "c,d"])))
next(made[-1][1])
add("csv dialect", made[-1][1].dialect)
add("csv writer", csv.writer(io.StringIO()))
made[-1][1].writerow(["a", 1])
add("json scanner", json.decoder.scanner.c_make_scanner(json.JSONDecoder()) if json.decoder.scanner.c_make_scanner else None)
add("json encoder", json.encoder.c_make_encoder({}, json.JSONEncoder().default, json.encoder.encode_basestring_ascii, None, ":", ",", False, False, True))
add("pickler", pickle.Pickler(io.BytesIO()))
left, right = socket.socketpair()
add("socket", left)
add("mmap", mmap.mmap(-1, 8192))
with os.scandir("/") as entries:
    add("DirEntry", next(entries))
add("ast", ast.parse("x = f(1) + 'a'"))
add("ast Call", made[-1][1].body[0].value.left)
add("abc data", collections.abc.Mapping.__dict__["_abc_impl"])
try:
    import select

    add("epoll", select.epoll())
    add("poll", select.poll())
    made[-1][1].register(0)
except (ImportError, AttributeError):
    pass
try:
    import xml.etree.ElementTree as ElementTree

    root = add("Element", ElementTree.fromstring("<a x='1'>text<b>inner</b>tail<c/><d/><e/><f/><g/></a>"))
    add("Element child", root[0])
    add("Element bare", ElementTree.Element("bare"))
    walking = add("Element iterator", root.iter())
    next(walking), next(walking)
    add("XMLParser", ElementTree.XMLParser())
    add("TreeBuilder", ElementTree.TreeBuilder())
    import pyexpat

    expat = add("expat parser", pyexpat.ParserCreate())
    expat.StartElementHandler = print
except ImportError:
    pass
try:
    import zlib

    add("zlib compress", zlib.compressobj())
    add("zlib decompress", zlib.decompressobj())
    import bz2

    add("bz2", bz2.BZ2Compressor())
    add("bz2 de", bz2.BZ2Decompressor())
    import lzma

    add("lzma", lzma.LZMACompressor())
    add("lzma de", lzma.LZMADecompressor())
except ImportError:
    pass
try:
    import sqlite3

    database = add("sqlite connection", sqlite3.connect(":memory:"))
    database.row_factory = sqlite3.Row
    cursor = add("sqlite cursor", database.execute("select 1 as one, 'x' as two union select 2, 'y'"))
    add("sqlite row", cursor.fetchone())
    database.set_trace_callback(print)
    database.set_trace_callback(None)
    database.create_function("own", 1, lambda x: x)
except ImportError:
    pass
try:
    import ssl

    ssl_context = add("ssl context", ssl.create_default_context())
    add("ssl memory bio", ssl.MemoryBIO())
    add("ssl object", ssl_context.wrap_bio(ssl.MemoryBIO(), ssl.MemoryBIO(), server_hostname="example.org"))
    add("ssl inner object", made[-1][1]._sslobj)
except ImportError:
    pass
try:
    import hashlib

    add("hash", hashlib.sha256(b"x"))
    add("blake", hashlib.blake2b(b"x"))
except ImportError:
    pass
try:
    import zoneinfo

    add("ZoneInfo", zoneinfo.ZoneInfo("Europe/Berlin"))
except Exception:
    pass
try:
    import ctypes

    class Structure(ctypes.Structure):
        _fields_ = [("a", ctypes.c_int), ("b", ctypes.py_object)]

    add("ctypes structure", Structure(1, [2]))
    add("ctypes array", (ctypes.c_int * 10)())
    add("ctypes big array", (ctypes.c_int * 1000)())
    add("ctypes pointer", ctypes.pointer(ctypes.c_int(4)))
    add("ctypes callback", ctypes.CFUNCTYPE(ctypes.c_int)(lambda: 1))
    add("ctypes string", ctypes.c_char_p(b"text"))
except ImportError:
    pass
add("TypeVar", typing.TypeVar("T", bound=list))
add("typing alias", typing.Dict[str, typing.List[int]])
if VERSION >= (3, 12):
    exec("type Alias[T] = list[T]\ndef generic[T: int, *Ts, **P](x: T): pass\nclass Generic[T]: pass")
    add("TypeAliasType", Alias)  # noqa: F821
    add("generic function", generic)  # noqa: F821
    for parameter in generic.__type_params__:  # noqa: F821
        add("type parameter", parameter)
        parameter.note = [1]
    add("ParamSpecArgs", generic.__type_params__[2].args)  # noqa: F821
    add("generic class", Generic)  # noqa: F821
if VERSION >= (3, 14):
    exec("template = t'hello {sys!r:>10} end'")
    add("Template", template)  # noqa: F821
    add("Interpolation", template.interpolations[0])  # noqa: F821
    add("Template iterator", iter(template))  # noqa: F821

# --- what Python says --------------------------------------------------------------------------------------------------
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
