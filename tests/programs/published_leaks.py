"""Leaks of CPython and its extension modules that were published as issues: published_leaks.py NAME ...

Prints {"leaks": ...}, how many of them can be tried in this Python, then answers each line of stdin, a number, by triggering
them that often, and prints what it counts of itself: {"blocks": ..., "mallocBytes": ..., "references": ...} that pymalloc and
malloc have given out more than before, and references to one object. Where a leak is fixed it counts no more. gh-NNNN and
bpo-NNNN are the issues' numbers. A function here returns the code that leaks once.
"""

import ctypes
import gc
import json
import sys
import warnings

LEAKS = {}


def leak(function):
    LEAKS[function.__name__] = function
    return function


class Tag:
    """Something to be held by what leaks, told apart from all else."""

    def __init__(self):
        self.number = 1


@leak
def math_dist():
    """gh-98897: the two tuples made of the arguments are lost when their lengths differ."""
    import math

    three, four = [1.5, 2.5, 3.5], [1.5, 2.5, 3.5, 4.5]

    def run():
        try:
            math.dist(three, four)
        except ValueError:
            pass

    return run


class Refusing(tuple):
    pass


class Strange:
    @property
    def __dict__(self):
        return Refusing("abc")


@leak
def pickle_build():
    """gh-126991: load_build keeps a reference to __dict__ when an item cannot be set."""
    import pickle

    # Its state is a dict with one key.
    data = b"\x80\x02c__main__\nStrange\n)\x81}X\x01\x00\x00\x00aK\x01sb."

    def run():
        try:
            pickle.loads(data)
        except TypeError:
            pass

    return run


@leak
def array_of_empty_text():
    """gh-140474: a buffer of one wchar_t is not freed."""
    import array

    warnings.simplefilter("ignore")
    return lambda: array.array("u", "")


class Hashed:
    def __hash__(self):
        return "no number %d " % id(self) * 10


@leak
def hash_that_is_text():
    """gh-140406: what __hash__ returned is lost when it is no int."""

    def run():
        try:
            hash(Hashed())
        except TypeError:
            pass

    return run


class HashedBySharedTag:
    shared = Tag()

    def __hash__(self):
        return self.shared


@leak
def hash_that_is_shared():
    """gh-140406: the same with one object for all: its reference count grows, and no memory."""

    def run():
        try:
            hash(HashedBySharedTag())
        except TypeError:
            pass

    return run


@leak
def syntax_error_again():
    """gh-146250: __init__ forgets two of the texts of the call before."""
    error = SyntaxError("message", ("file", 1, 2, "text"))

    def run():
        number = id(object())
        error.__init__("message", ("file %d" % number, 1, 2, "text %d" % number))

    return run


@leak
def address_refused_by_audit():
    """gh-146245: the encoded name of the host is lost when an audit hook raises."""
    import socket

    def hook(event, _):
        if event == "socket.getaddrinfo":
            raise RuntimeError

    sys.addaudithook(hook)

    def run():
        try:
            socket.getaddrinfo("published.example", "80")
        except RuntimeError:
            pass

    return run


class EarlyError(OSError):
    def __init__(self, *arguments):
        number = id(self)
        self.filename = "early name %d" % number
        self.strerror = "early text %d" % number
        super().__init__(*arguments)


@leak
def os_error_set_early():
    """gh-150988: attributes that were set before OSError.__init__ are lost."""
    return lambda: EarlyError(2, "text", "name")


@leak
def ssl_session():
    """gh-116810: a copy of OpenSSL's session is made and forgotten."""
    import ssl

    def context(protocol):
        made = ssl.SSLContext(protocol)
        if protocol == ssl.PROTOCOL_TLS_CLIENT:
            made.check_hostname = False
            made.verify_mode = ssl.CERT_NONE
        made.maximum_version = ssl.TLSVersion.TLSv1_2
        # Without certificates.
        made.set_ciphers("AECDH-AES128-SHA:@SECLEVEL=0")
        return made

    here, there = ssl.MemoryBIO(), ssl.MemoryBIO()
    server = context(ssl.PROTOCOL_TLS_SERVER).wrap_bio(here, there, server_side=True)
    client = context(ssl.PROTOCOL_TLS_CLIENT).wrap_bio(there, here)
    for _ in range(4):
        for side in (client, server):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                pass

    def run():
        assert client.session is not None, server

    return run


class IdleLoop:
    """An event loop that runs nothing."""

    def get_debug(self):
        return False

    def call_soon(self, *arguments, **options):
        pass

    def call_exception_handler(self, context):
        pass


@leak
def task_again():
    """gh-126083: Task.__init__ forgets the context of the call before."""
    import asyncio
    import contextvars

    async def nothing():
        pass

    coroutine, loop = nothing(), IdleLoop()

    def run():
        task = asyncio.Task(coroutine, loop=loop, context=contextvars.Context())
        task.__init__(coroutine, loop=loop, context=contextvars.Context())

    return run


@leak
def match_interrupted():
    """gh-67877: a match that a signal handler ends leaks its memory."""
    import re
    import signal

    class Stop(Exception):
        pass

    def stop(*_):
        raise Stop

    signal.signal(signal.SIGALRM, stop)
    pattern, text = re.compile(r"(?:(?:x|y)*)*z"), "xy" * 15000

    def run():
        try:
            signal.setitimer(signal.ITIMER_REAL, 0.001)
            pattern.match(text)
            raise AssertionError("the match was not interrupted")
        except Stop:
            pass

    return run


@leak
def pickler_table():
    """gh-89988 (bpo-45830): the Pickler takes two references to its dispatch_table and gives up one."""
    import io
    import pickle

    class TablePickler(pickle.Pickler):
        def __init__(self, file):
            self.dispatch_table = {}
            super().__init__(file)

    file = io.BytesIO()
    return lambda: TablePickler(file)


@leak
def bz2_compressor_again():
    """bpo-23224: __init__ of a compressor forgets libbz2's memory of the call before."""
    import bz2

    compressor = bz2.BZ2Compressor(1)
    return lambda: compressor.__init__(1)


@leak
def bz2_decompressor_again():
    """bpo-23224: the same in the decompressor."""
    import bz2

    decompressor = bz2.BZ2Decompressor()
    return lambda: decompressor.__init__()


@leak
def context_cycle():
    """gh-155515: the collector does not know iterators of contexts; a cycle through one stays."""
    import contextvars

    variable = contextvars.ContextVar("variable")

    def run():
        context = contextvars.copy_context()
        held = [Tag()]
        context.run(variable.set, held)
        held.append(iter(context.items()))

    return run


@leak
def profiler_cleared():
    """gh-145846: clear() within nested calls frees the innermost context only."""
    import _lsprof

    def run():
        profiler = _lsprof.Profiler()

        def nested(depth):
            if depth:
                nested(depth - 1)
            else:
                profiler.clear()

        profiler.enable()
        nested(10)
        profiler.disable()
        profiler.clear()

    return run


@leak
def element_again():
    """gh-153537: Element.__init__ forgets the attributes and children of the call before."""
    from _elementtree import Element

    element = Element("root")
    return lambda: element.__init__("root", {"key": "value"})


@leak
def element_with_children_again():
    """gh-153537: the same with a child."""
    from _elementtree import Element, SubElement

    element = Element("root")

    def run():
        element.__init__("root", {"key": "value"})
        SubElement(element, "child")

    return run


@leak
def xml_parser_again():
    """gh-114795: XMLParser.__init__ forgets expat's parser of the call before."""
    from _elementtree import XMLParser

    parser = XMLParser()
    return lambda: parser.__init__()


@leak
def pointer_types():
    """gh-100926: ctypes keeps every pointer type that was made, and what it points at."""

    def run():
        class Dynamic(ctypes.Structure):
            _fields_ = [("x", ctypes.c_int)]

        ctypes.POINTER(Dynamic)

    return run


@leak
def threads_not_joined():
    """bpo-37788: a lock stays in threading._shutdown_locks of each thread that nobody joins."""
    import threading
    import time

    def run():
        thread = threading.Thread(target=int)
        thread.start()
        while thread in threading.enumerate():
            time.sleep(0)

    return run


@leak
def interned_texts():
    """gh-113993: texts that were interned are immortal."""
    count = 0

    def run():
        nonlocal count
        count += 1
        sys.intern("interned text %d" % count)

    return run


class Name(str):
    pass


@leak
def type_variable_cycle():
    """gh-140000: the collector does not know a TypeVar's reference to its name; a cycle through it stays."""
    import typing

    def run():
        name = Name("T%d" % id(object()))
        name.variable = typing.TypeVar(name)

    return run


class Inline:
    pass


@leak
def instance_dict_cycle():
    """gh-133543: the collector does not know an instance's dict that was asked for while it had nothing to track."""

    def run():
        made = Inline()
        made.__dict__
        made.itself = made
        for number in range(29):
            setattr(made, "attribute_%d" % number, None)

    return run


class Added:
    def __add__(self, other):
        return 1


@leak
def dead_proxy():
    """gh-159739: an operand is lost when the other one is a proxy of a dead object."""
    import weakref

    dead = weakref.proxy(Added())

    def run():
        try:
            alive = Added()
            weakref.proxy(alive) + dead
        except ReferenceError:
            pass

    return run


@leak
def preshared_key_cycle():
    """gh-142516: the collector does not know the callbacks of pre-shared keys; a cycle through one stays."""
    import ssl

    def run():
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)

        def callback(hint, context=context):
            return None

        context.set_psk_client_callback(callback)

    return run


@leak
def interpreters():
    """gh-140067 and others: much of an interpreter that has ended stays."""
    try:
        import _interpreters as module
    except ImportError:
        import _xxsubinterpreters as module

    return lambda: module.destroy(module.create())


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
