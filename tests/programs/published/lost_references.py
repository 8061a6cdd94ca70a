"""References that are never given up: the object, or what it holds, stays for ever. See run.py."""

import sys

from leaks import Tag, leak


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
    data = b"\x80\x02clost_references\nStrange\n)\x81}X\x01\x00\x00\x00aK\x01sb."

    def run():
        try:
            pickle.loads(data)
        except TypeError:
            pass

    return run


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
