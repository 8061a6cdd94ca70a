"""A process with a hundred thousand objects of all kinds that writes down its whole heap, as Python sees it.

`coverage.py FOLDER` imports much of the standard library, fills the heap, collects garbage, and writes the closure of
gc.get_objects() over gc.get_referents() to FOLDER: `ids`, `types`, `sizes`, `firsts`, `referents` as arrays of 64 bits, and
`types.txt`. Then it prints {"python", "pid", "objects"} and blocks in C code until stdin ends, allocating nothing.
"""

import array
import collections
import contextvars
import functools
import gc
import importlib
import itertools
import json
import os
import random
import sys
import threading
import types
import weakref

MODULES = """
abc argparse ast asyncio base64 bdb binascii bisect bz2 calendar cgi cmath cmd code codecs concurrent.futures configparser
contextlib copy copyreg csv ctypes curses datetime dbm decimal difflib dis doctest email email.mime.multipart
email.mime.text encodings.idna encodings.utf_16 enum fcntl filecmp fileinput fnmatch fractions ftplib getopt getpass gettext glob
graphlib grp gzip hashlib heapq hmac html html.parser http.client http.cookiejar http.cookies http.server imaplib inspect io
ipaddress json keyword linecache locale logging logging.config logging.handlers lzma mailbox mimetypes mmap multiprocessing
multiprocessing.managers multiprocessing.pool netrc numbers operator optparse pathlib pdb pickle pickletools pkgutil
platform plistlib poplib pprint profile pstats pwd pyclbr pydoc queue quopri random re reprlib resource runpy sched secrets
select selectors shelve shlex shutil signal smtplib socket socketserver sqlite3 ssl stat statistics string stringprep struct
subprocess symtable sysconfig syslog tarfile tempfile termios textwrap threading timeit token tokenize tomllib trace
traceback tracemalloc tty turtle typing unicodedata unittest unittest.mock urllib.parse urllib.request urllib.robotparser uuid
venv warnings wave weakref webbrowser wsgiref.simple_server wsgiref.validate xml.dom.minidom xml.etree.ElementTree xml.sax
xmlrpc.client xmlrpc.server zipapp zipfile zlib zoneinfo
""".split()

random.seed(3)
kept = {}


def import_modules():
    import warnings

    warnings.simplefilter("ignore")
    for name in MODULES:
        try:
            kept[name] = importlib.import_module(name)
        except ImportError:
            pass


class Record:
    def __init__(self, number):
        self.number = number
        self.name = "record-%d" % number
        self.tags = [number, (number, str(number))]


class Wide:
    def __init__(self, count):
        for i in range(count):
            setattr(self, "field_%d" % i, i * 1000.5)


class Slots:
    __slots__ = ("left", "right", "__weakref__")

    def __init__(self, left, right):
        self.left, self.right = left, right


class Branch(Slots):
    __slots__ = ("extra", "__dict__")


class ListChild(list):
    pass


class DictChild(dict):
    pass


class IntChild(int):
    pass


class Node:
    """A cycle with its parent."""

    def __init__(self, parent=None):
        self.parent, self.children = parent, []
        if parent is not None:
            parent.children.append(self)


Point = collections.namedtuple("Point", "x y")


@functools.lru_cache(maxsize=None)
def cached(number):
    return {"of": number}


@functools.lru_cache(maxsize=100)
def cached_and_bounded(number, other=None):
    return [number, other]


@functools.singledispatch
def dispatched(value):
    return value


@dispatched.register(int)
def _(value):
    return [value]


def closures(count):
    def one(number):
        state = [number]

        def increment(by=number):
            state[0] += by
            return state

        return increment

    return [one(i) for i in range(count)]


def generators(count):
    def counting(start):
        local = {"start": start}
        while True:
            try:
                yield local
            finally:
                local = None

    started = [counting(i) for i in range(count)]
    for generator in started[: count // 2]:
        next(generator)
    return started


def exceptions(count):
    caught = []
    for i in range(count):
        try:
            try:
                {}[i]
            except KeyError:
                int("x%d" % i)
        except ValueError as error:
            caught.append(error)
    return caught


def containers():
    return {
        "records": [Record(i) for i in range(6000)],
        "wide": [Wide(i % 40) for i in range(600)],
        "slots": [Slots(i, str(i)) for i in range(3000)],
        "branches": [Branch([i], None) for i in range(300)],
        "children": [ListChild([i, [i]]) for i in range(500)] + [DictChild(a=[i]) for i in range(500)],
        "integers": [IntChild(i) for i in range(300)] + [10**i for i in range(300)],
        "dicts": [{"id": i, "name": "n%d" % i, "tags": [i]} for i in range(5000)],
        "by number": {i: (i, str(i)) for i in range(10000)},
        "nested": {"a%d" % i: {"b%d" % j: [i, j] for j in range(20)} for i in range(200)},
        "mixed keys": [{1: [1], "a": [2], (3, i): [3]} for i in range(500)],
        "sets": [set(range(i, i + i % 50)) for i in range(500)] + [frozenset(["k%d" % i]) for i in range(500)],
        "tuples": [(i, float(i), None, (i,)) for i in range(3000)],
        "points": [Point(i, [i]) for i in range(1000)],
        "deques": [collections.deque([[i]] * (i % 200), maxlen=None if i % 2 else 50) for i in range(200)],
        "ordered": [collections.OrderedDict((j, [j]) for j in range(i % 30)) for i in range(200)],
        "defaults": collections.defaultdict(list, {i: [i] for i in range(300)}),
        "counters": collections.Counter(random.choices("abcdefgh", k=1000)),
        "strings": ["".join(random.choices("abc\xe9\u20ac\U0001f40d", k=i % 60)) for i in range(3000)],
        "bytes": [bytes(i % 700) for i in range(600)] + [bytearray(i % 700) for i in range(300)],
        "arrays": [array.array("d", range(i % 100)) for i in range(200)],
        "views": [memoryview(bytes(i)) for i in range(1, 100)],
        "complex": [complex(i, -i) for i in range(100)],
        "ranges": [range(i, i * i) for i in range(100)] + [slice(i, [i]) for i in range(100)],
        "namespaces": [types.SimpleNamespace(a=i, b=[i]) for i in range(300)],
    }


def callables():
    first = Node()
    for _ in range(400):
        Node(first)
    for i in range(1000):
        cached(i)
        cached_and_bounded(i, other=str(i))
    return {
        "tree": first,
        "closures": closures(1500),
        "generators": generators(300),
        "exceptions": exceptions(200),
        "partials": [functools.partial(Record, i, key=[i]) for i in range(300)],
        "methods": [Record(i).__init__ for i in range(300)] + [[i].append for i in range(300)],
        "weak": [weakref.ref(child) for child in first.children],
        "weak with callback": [weakref.ref(child, lambda ref, i=i: i) for i, child in enumerate(first.children)],
        "weak values": weakref.WeakValueDictionary(enumerate(first.children)),
        "weak keys": weakref.WeakKeyDictionary((child, [1]) for child in first.children),
        "weak set": weakref.WeakSet(first.children),
        "finalizers": [weakref.finalize(child, list, (i,)) for i, child in enumerate(first.children[:50])],
        "proxies": [types.MappingProxyType({"a": [i]}) for i in range(100)],
        "iterators": [iter([i]) for i in range(100)] + [iter({i: [i]}.items()) for i in range(100)],
        "itertools": [itertools.chain([[i]], (i,)) for i in range(100)] + [zip([i], [[i]]) for i in range(100)]
        + [itertools.islice(itertools.count(i), 10) for i in range(100)] + [enumerate([i]) for i in range(100)],
        "classes": [type("Made%d" % i, (Record,), {"attribute": [i], "method": lambda self: i}) for i in range(300)],
        "code": [compile("def f(a, b=%d):\n  return [a, b, 'c%d']" % (i, i), "file%d" % i, "exec") for i in range(200)],
    }


def libraries():
    made = {}
    decimal, datetime = kept.get("decimal"), kept.get("datetime")
    if decimal:
        made["decimals"] = [decimal.Decimal(i) / 7 for i in range(300)]
    made["dates"] = [datetime.datetime(2020, 1, 1) + datetime.timedelta(hours=i) for i in range(300)]
    made["dates"] += [datetime.datetime(2021, 1, 1, tzinfo=datetime.timezone.utc), datetime.time(1), datetime.date(2020, 1, 2)]
    ElementTree = kept.get("xml.etree.ElementTree")
    if ElementTree:
        rows = "".join("<row id='%d'>text %d<b/>tail</row>" % (i, i) for i in range(500))
        made["xml"] = ElementTree.fromstring("<rows>%s</rows>" % rows)
    sqlite3 = kept.get("sqlite3")
    if sqlite3:
        connection = sqlite3.connect(":memory:")
        connection.row_factory = sqlite3.Row
        connection.execute("create table t (a integer, b text)")
        connection.executemany("insert into t values (?, ?)", [(i, "text %d" % i) for i in range(500)])
        made["sqlite"] = [connection, connection.execute("select * from t").fetchall(), connection.execute("select a from t")]
        next(made["sqlite"][2])
    ssl = kept.get("ssl")
    if ssl:
        made["ssl"] = [ssl.create_default_context(), ssl.MemoryBIO()]
    ctypes = kept.get("ctypes")
    if ctypes:
        class Structure(ctypes.Structure):
            _fields_ = [("a", ctypes.c_int), ("b", ctypes.py_object), ("c", ctypes.c_char_p)]

        made["ctypes"] = [Structure(i, [i], b"x") for i in range(100)] + [(ctypes.c_int * i)() for i in range(1, 50)]
        made["ctypes"] += [ctypes.pointer(ctypes.c_int(4)), ctypes.CFUNCTYPE(ctypes.c_int)(lambda: 1)]
    re, logging, io = kept["re"], kept["logging"], kept["io"]
    made["patterns"] = [re.compile("a(b|c%d)*" % i) for i in range(60)]
    made["matches"] = [re.match("(a)(b)", "ab%d" % i) for i in range(60)]
    made["loggers"] = [logging.getLogger("made.%d.%d" % (i % 7, i)) for i in range(200)]
    made["log records"] = [logging.LogRecord("n", 20, "path", i, "m %s", (i,), None) for i in range(100)]
    made["io"] = [io.StringIO("text"), io.BytesIO(b"bytes"), open(os.devnull, "wb"), open(os.devnull), io.TextIOWrapper(io.BytesIO())]
    made["json"] = json.loads(json.dumps([{"a": i, "b": [str(i)]} for i in range(500)]))
    made["locks"] = [threading.Lock() for _ in range(50)] + [threading.RLock(), threading.Condition(), threading.Event()]
    made["queues"] = [kept["queue"].Queue() for _ in range(20)] + [kept["queue"].SimpleQueue() for _ in range(20)]
    for queue in made["queues"]:
        queue.put([1])
    made["sockets"] = list(kept["socket"].socketpair())
    made["enums"] = [kept["enum"].Enum("Made%d" % i, "A B C") for i in range(20)]
    if "dataclasses" in sys.modules:
        made["dataclasses"] = [sys.modules["dataclasses"].make_dataclass("D%d" % i, ["a", "b"])(i, [i]) for i in range(20)]
    typing = kept["typing"]
    made["typing"] = [typing.Dict[str, typing.List[int]], typing.Optional[int], typing.TypeVar("T"), typing.Callable[[int], str]]
    made["hashes"] = [kept["hashlib"].sha256(b"x"), kept["hashlib"].md5(b"y")]
    for name, make in (("zlib", "compressobj"), ("bz2", "BZ2Compressor"), ("lzma", "LZMACompressor"), ("random", "Random")):
        if name in kept:
            made[name] = getattr(kept[name], make)()
    made["struct"] = [kept["struct"].Struct("ii%ds" % i) for i in range(1, 30)]
    made["email"] = kept["email"].message_from_string("From: a\nTo: b\nSubject: c\n\nbody")
    return made


context_variable = contextvars.ContextVar("context_variable", default=[0])


def contexts():
    many = [contextvars.ContextVar("v%d" % i) for i in range(60)]
    copies = []
    for i in range(60):
        context_variable.set([i])
        many[i].set({i: [i]})
        copies.append(contextvars.copy_context())
    return copies


def run_loop(ready):
    """A thread with an asyncio loop in which tasks wait for each other, for futures and for timers."""
    import asyncio

    async def leaf(number):
        local = [number]
        await asyncio.sleep(3600 + number)
        return local

    async def stem(number):
        return await asyncio.gather(leaf(number), leaf(number + 1))

    async def agen():
        for i in range(10):
            yield [i]

    async def main():
        loop = asyncio.get_running_loop()
        queue, event, lock = asyncio.Queue(), asyncio.Event(), asyncio.Lock()
        futures = [loop.create_future() for _ in range(50)]
        for future in futures[:20]:
            future.add_done_callback(lambda done, i=0: i)
        futures[0].set_result([1])
        futures[1].set_exception(ValueError("kept"))
        futures[1].exception()
        tasks = [loop.create_task(stem(i)) for i in range(40)]
        tasks += [loop.create_task(queue.get()), loop.create_task(event.wait())]
        iterating = agen()
        await iterating.__anext__()
        await lock.acquire()
        await asyncio.sleep(0.01)
        kept["loop"] = [loop, queue, event, lock, futures, tasks, iterating]
        ready.set()
        kept["loop end"] = asyncio.Event()
        await kept["loop end"].wait()

    asyncio.run(main())


def run_thread(ready, block):
    local = [threading.local(), {"of": "thread"}]
    local[0].value = [1, 2]
    try:
        raise KeyError("handled while the thread waits")
    except KeyError:
        ready.set()
        block.acquire()


def start_threads():
    block = threading.Lock()
    block.acquire()
    kept["block"] = block
    for target, arguments in ((run_loop, ()), (run_thread, (block,)), (run_thread, (block,))):
        ready = threading.Event()
        thread = threading.Thread(target=target, args=(ready,) + arguments, daemon=True)
        thread.start()
        ready.wait()
    executor = kept["concurrent.futures"].ThreadPoolExecutor(2)
    kept["executor"] = [executor, [executor.submit(pow, i, 2) for i in range(50)]]
    for future in kept["executor"][1]:
        future.result()


class Dump:
    """What Python says of its heap. Holds nothing but numbers when it is done."""

    def __init__(self):
        self.ids = array.array("Q")
        self.types = array.array("Q")
        self.sizes = array.array("Q")
        self.firsts = array.array("Q", [0])
        self.referents = array.array("Q")
        self.names = []

    def take(self):
        frame = sys._getframe()
        # The frames that run and everything made here must not appear.
        order, seen, rows = [], {}, {}
        hidden = {id(each) for each in (self, self.__dict__, frame, order, seen, rows)}
        hidden.update(id(each) for each in self.__dict__.values())
        while frame is not None:
            hidden.add(id(frame))
            frame = frame.f_back
        hidden.add(id(hidden))
        start = gc.get_objects()
        hidden.add(id(start))
        for each in start:
            if id(each) not in hidden and id(each) not in seen:
                seen[id(each)] = None
                order.append(each)
        start = each = None
        at = 0
        while at < len(order):
            found = gc.get_referents(order[at])
            for each in found:
                if id(each) not in hidden and id(each) not in seen:
                    seen[id(each)] = None
                    order.append(each)
            at += 1
        found = each = None
        for each in order:
            self.add(each, rows, hidden)

    def add(self, each, rows, hidden):
        of = type(each)
        if of not in rows:
            rows[of] = len(rows)
            module, name = of.__module__, of.__qualname__
            self.names.append(name if module == "builtins" else "%s.%s" % (module, name))
        self.ids.append(id(each))
        self.types.append(rows[of])
        try:
            self.sizes.append(sys.getsizeof(each))
        except Exception:
            self.sizes.append(2**64 - 1)
        for referent in gc.get_referents(each):
            if id(referent) not in hidden:
                self.referents.append(id(referent))
        self.firsts.append(len(self.referents))

    def write(self, folder):
        for name in ("ids", "types", "sizes", "firsts", "referents"):
            with open(os.path.join(folder, name), "wb") as file:
                getattr(self, name).tofile(file)
        with open(os.path.join(folder, "types.txt"), "w") as file:
            file.write("\n".join(self.names))
        return len(self.ids)


def main():
    import_modules()
    kept["containers"] = containers()
    kept["callables"] = callables()
    kept["libraries"] = libraries()
    kept["contexts"] = contexts()
    start_threads()
    del kept["iterated"]


def dump():
    gc.disable()
    Dump().take()
    gc.collect()
    gc.collect()
    taken = Dump()
    taken.take()
    return taken.write(sys.argv[1])


kept["iterated"] = None
main()
line = json.dumps({"python": sys.version.split()[0], "pid": os.getpid(), "objects": dump()})
os.write(1, line.encode() + b"\n")
del line
os.read(0, 1)
