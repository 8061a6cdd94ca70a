"""Iterators, and objects of the modules of the standard library. See run.py."""

import array
import ast
import collections
import csv
import datetime
import decimal
import gc
import io
import itertools
import json
import mmap
import os
import pickle
import queue
import random
import re
import socket
import struct
import sys
import threading
import typing

from made import VERSION, add, made

# ---- iterators

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


# ---- modules

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
