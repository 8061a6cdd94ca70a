"""The side of leakscope's console that runs inside the program: CPython 3.8 to 3.15, one file, standard library only.

`connect(path, token, uids)` is how `leakscope console` starts it: it connects back to leakscope and ends with the
connection. `listen()` is the cooperative way, one line in a program: it waits for consoles in a folder of its own.

One JSON document per line, both ways: {"id", "op", ...} -> {"id", "ok", ...}; output of a command comes before its
reply as {"id", "out", "stream"}. Three threads per console: one reads, one runs commands, one writes. They use the
original functions of `_thread` where gevent has replaced them. When a console ends there is no thread, no name in `__main__`,
and `sys.stdout` is as before. What stays: the module of the stand-ins for it (see there), and modules of the standard library that
a command needed.
"""
import sys
import _thread

VERSION = 1
_MAX_LINE = 16 << 20
_MAX_TEXT = 1 << 20
_MAX_QUEUED = 8 << 20
_SHARED = "_leakscope_agent_%d" % VERSION
_AWAIT = 0x2000  # PyCF_ALLOW_TOP_LEVEL_AWAIT
_ONLY_AST = 0x400
_DONT_IMPLY_DEDENT = 0x200
_ALLOW_INCOMPLETE = 0x4000  # since 3.11
_COROUTINE = 0x80
_NO_SIGNAL = 0x4000  # MSG_NOSIGNAL
_TASK_LIMIT = 20000
_SOCKET_LIMIT = 1000
_DEPTH_LIMIT = 100


def _original(name):
    """A function of `_thread` as the interpreter made it: gevent's stand-ins are greenlets, which must not block."""
    monkey = sys.modules.get("gevent.monkey")
    if monkey is not None:
        try:
            return monkey.get_original("_thread", name)
        except Exception:
            pass
    return getattr(_thread, name)


_get_ident = _original("get_ident")
_allocate_lock = _original("allocate_lock")
_start_thread = _original("start_new_thread")


# ---- What all consoles of one process share: whose output goes where.

_STREAMS = "_leakscope_streams_%d" % VERSION
# The one part that stays in the process when the last console has left, as a module of its own that nothing else of the agent
# hangs on.
_STREAMS_SOURCE = '''
"""Stand-ins for sys.stdout and sys.stderr while commands of leakscope's consoles run: what a command prints goes to its
console, everything else to where it went before.

They are never freed, nor is this module: until Python 3.13 print(), warnings and tracebacks use sys.stdout or sys.stderr
without holding it, in threads that may be inside for any time. There is one stand-in for each stream that was found."""
import sys
from _contextvars import ContextVar
from _weakref import ref
from posix import register_at_fork

route = ContextVar("leakscope_route")
active = 0
installed = {}


class Buffer:
    """What sys.stdout.buffer is for a command."""

    def __init__(self, stand_in):
        self._stand_in = stand_in

    def write(self, data):
        text = bytes(data).decode("utf-8", "replace")
        sink = route.get(None)
        if sink is None or not sink(text, self._stand_in._leakscope_stream):
            return self._stand_in._leakscope_original().buffer.write(data)
        return len(data)

    def flush(self):
        self._stand_in.flush()

    def __getattr__(self, name):
        return getattr(self._stand_in._leakscope_original().buffer, name)


class StandIn:
    __slots__ = ("_leakscope_strong", "_leakscope_weak", "_leakscope_stream")

    def __init__(self, original, stream):
        object.__setattr__(self, "_leakscope_stream", stream)
        self._leakscope_hold(original)

    def _leakscope_hold(self, original):
        object.__setattr__(self, "_leakscope_strong", original)
        object.__setattr__(self, "_leakscope_weak", None)

    def _leakscope_let_go(self):
        original = self._leakscope_strong
        try:
            object.__setattr__(self, "_leakscope_weak", ref(original))
        except TypeError:
            return
        object.__setattr__(self, "_leakscope_strong", None)

    def _leakscope_original(self):
        weak = self._leakscope_weak
        return self._leakscope_strong if weak is None else weak()

    @property
    def __class__(self):
        return type(self._leakscope_original())

    @property
    def buffer(self):
        return Buffer(self) if route.get(None) is not None else self._leakscope_original().buffer

    def write(self, text):
        sink = route.get(None)
        if sink is not None and isinstance(text, str) and sink(text, self._leakscope_stream):
            return len(text)
        original = self._leakscope_original()
        return len(text) if original is None else original.write(text)

    def writelines(self, lines):
        for line in lines:
            self.write(line)

    def isatty(self):
        original = self._leakscope_original()
        return route.get(None) is None and original is not None and original.isatty()

    def flush(self):
        original = self._leakscope_original()
        if route.get(None) is None and original is not None:
            original.flush()

    def __getattr__(self, name):
        return getattr(self._leakscope_original(), name)

    def __setattr__(self, name, value):
        setattr(self._leakscope_original(), name, value)

    def __delattr__(self, name):
        delattr(self._leakscope_original(), name)

    def __iter__(self):
        return iter(self._leakscope_original())

    def __repr__(self):
        return repr(self._leakscope_original())


# The first stands for nothing: as many references as it has, one that nobody has kept has, too.
stand_ins = [StandIn(None, 0)]


def begin():
    global active
    with lock:
        active += 1
        if active == 1:
            install("stdout", 1)
            install("stderr", 2)
            route_logging()


def end():
    global active
    with lock:
        active -= 1
        if active == 0:
            uninstall()


def install(name, stream):
    original = getattr(sys, name, None)
    if type(original) is StandIn:
        # Somebody has kept it and put it back.
        return
    for stand_in in stand_ins[1:]:
        if stand_in._leakscope_stream == stream and stand_in._leakscope_original() is original:
            break
    else:
        stand_in = StandIn(original, stream)
        stand_ins.append(stand_in)
    stand_in._leakscope_hold(original)
    installed[name] = stand_in
    setattr(sys, name, stand_in)


def uninstall():
    for name in ("stdout", "stderr"):
        stand_in = installed.pop(name, None)
        # The program may have replaced it meanwhile: then it is its own.
        if stand_in is not None and getattr(sys, name, None) is stand_in:
            setattr(sys, name, stand_in._leakscope_original())
    del stand_in
    for i in range(1, len(stand_ins)):
        # Who has kept one (contextlib.redirect_stdout) may put it back.
        if sys.getrefcount(stand_ins[i]) == sys.getrefcount(stand_ins[0]):
            stand_ins[i]._leakscope_let_go()
    logger_class, ours, before = installed.pop("logging", (None, None, None))
    if logger_class is not None and logger_class.__dict__.get("callHandlers") is ours:
        logger_class.callHandlers = before


def route_logging():
    """Handlers keep the stream that they began with: records of a command are taken before they reach one."""
    logging = sys.modules.get("logging")
    logger_class = getattr(logging, "Logger", None)
    before = logger_class.__dict__.get("callHandlers") if isinstance(logger_class, type) else None
    if before is None:
        return

    def callHandlers(self, record):
        sink = route.get(None)
        if sink is not None:
            try:
                text = "%s:%s:%s" % (record.levelname, record.name, record.getMessage())
                if record.exc_info:
                    text += chr(10) + logging.Formatter().formatException(record.exc_info)
            except Exception:
                return before(self, record)
            if sink(text + chr(10), 2):
                return None
        return before(self, record)

    installed["logging"] = (logger_class, callHandlers, before)
    logger_class.callHandlers = callHandlers


def leave_child():
    """A process that is forked while a console is open has none of it: its threads are the parent's."""
    global active, lock
    lock = allocate_lock()
    active = 0
    uninstall()
    shared = sys.modules.pop(shared_name, None)
    if shared is not None:
        shared.state.forget()


register_at_fork(after_in_child=leave_child)
'''


def _streams():
    """The module that routes output; made by the first console of a process."""
    module = sys.modules.get(_STREAMS)
    if module is None:
        made = type(sys)(_STREAMS)
        made.__dict__.update(
            lock=_allocate_lock(), allocate_lock=_allocate_lock, shared_name=_SHARED
        )
        exec(compile(_STREAMS_SOURCE, "leakscope_agent.py", "exec"), made.__dict__)
        module = sys.modules.setdefault(_STREAMS, made)
    return module


class _Shared:
    def __init__(self, pid):
        self.pid = pid
        self.lock = _allocate_lock()
        self.closed = False
        self.users = 0
        self.consoles = []
        self.threads = set()

    def forget(self):
        """In a forked child: these connections are the parent's."""
        for console in self.consoles:
            console.closed = True
            console.worker = None
            try:
                console.sock.close()
            except OSError:
                pass


def _join_shared(pid):
    """The shared state of this process's consoles, one more user counted."""
    while True:
        module = type(sys)(_SHARED)
        module.state = _Shared(pid)
        module = sys.modules.setdefault(_SHARED, module)
        state = module.state
        if state.pid != pid:
            # We are in a child that was forked without telling Python.
            sys.modules.pop(_SHARED, None)
            state.forget()
            continue
        with state.lock:
            if not state.closed:
                state.users += 1
                return state


def _leave_shared(state):
    with state.lock:
        state.users -= 1
        if state.users == 0:
            state.closed = True
            sys.modules.pop(_SHARED, None)


# ---- One console.


class _Names(dict):
    """The names of a console: its own, then those of the program's __main__, which it reads and never sets."""

    def __missing__(self, name):
        main = sys.modules.get("__main__")
        if main is None or name.startswith("__"):
            raise KeyError(name)
        return main.__dict__[name]


class _Exit(BaseException):
    pass


class _Refused(Exception):
    """An answer without a traceback."""


class _Console:
    def __init__(self, sock, pid):
        from _queue import SimpleQueue

        self.sock = sock
        self.streams = _streams()
        self.shared = _join_shared(pid)
        self.shared.consoles.append(self)
        self.lock = _allocate_lock()
        self.inbox = SimpleQueue()
        self.outbox = SimpleQueue()
        self.queued = 0
        self.dropped = 0
        self.closed = False
        # Numbers of requests: the one that is worked on, and the same while it may be interrupted.
        self.request = None
        self.running = None
        self.awaiting = None
        self.worker = None
        self.ended = _allocate_lock()
        self.sent = _allocate_lock()
        self.inputs = 0
        self.tracer = None
        self.names = _Names(__name__="__console__", __builtins__=__builtins__)
        self.names.update(
            exit=_leave, quit=_leave, input=_no_input, breakpoint=_no_breakpoint, help=_plain_help
        )
        self.unused_names = sys.getrefcount(self.names)

    # -- threads

    def serve(self, hello):
        """Reads requests until the connection ends; then nothing of the console is left."""
        self.ended.acquire()
        self.sent.acquire()
        me = _get_ident()
        self.shared.threads.add(me)
        try:
            _start_thread(self._write, ())
            self._send(hello)
            _start_thread(self._work, ())
            self._read()
        finally:
            self.closed = True
            self.inbox.put(None)
            # The user went away while a command runs: it must not run on for ever.
            for _ in range(100):
                if self.ended.acquire(True, 0.1):
                    break
                self._interrupt(None)
            self.outbox.put(None)
            self.sent.acquire(True, 5)
            self._stop_tracer()
            self.shared.consoles.remove(self)
            self.shared.threads.discard(me)
            self._forget_sources()
            self._forget_names()
            _leave_shared(self.shared)
            # Last of all: by this leakscope knows that nothing is left.
            _shut(self.sock)

    def _read(self):
        import json

        buffered = []
        size = 0
        while True:
            try:
                chunk = self.sock.recv(65536)
            except OSError:
                return
            if not chunk:
                return
            size += len(chunk)
            if size > _MAX_LINE:
                return
            if b"\n" not in chunk:
                buffered.append(chunk)
                continue
            *lines, rest = (b"".join(buffered) + chunk).split(b"\n")
            buffered, size = [rest], len(rest)
            for line in lines:
                try:
                    request = json.loads(line.decode("utf-8"))
                    op = request["op"]
                except (ValueError, KeyError, TypeError):
                    return
                if op == "interrupt":
                    found = self._interrupt(request.get("of"))
                    self._send({"id": request.get("id"), "ok": True, "found": found})
                elif op == "close":
                    return
                else:
                    self.inbox.put(request)

    def _work(self):
        me = self.worker = _get_ident()
        self.shared.threads.add(me)
        try:
            while not self.closed:
                request = self.inbox.get()
                if request is None or self.closed:
                    return
                reply = {"id": request.get("id"), "ok": True}
                try:
                    self._perform(request, reply)
                except BaseException as error:
                    reply = {"id": request.get("id"), "ok": False, "error": _describe(error)}
                self._settle()
                self._send(reply)
        finally:
            self.worker = None
            _forget_thread(me)
            self.shared.threads.discard(me)
            self.ended.release()

    def _settle(self):
        """The command is over; an interrupt that comes late must not hit what follows."""
        while True:
            try:
                with self.lock:
                    self.running = None
                for _ in range(3):
                    pass
                return
            except KeyboardInterrupt:
                continue

    def _write(self):
        me = _get_ident()
        self.shared.threads.add(me)
        try:
            while True:
                data = self.outbox.get()
                if data is None:
                    return
                # A program may have the default action for SIGPIPE: the end of leakscope must not be its own.
                self.sock.sendall(data, _NO_SIGNAL)
                with self.lock:
                    self.queued -= len(data)
        except OSError:
            self.closed = True
        finally:
            self.shared.threads.discard(me)
            self.sent.release()

    def _send(self, message):
        import json

        data = json.dumps(message).encode("ascii") + b"\n"
        with self.lock:
            self.queued += len(data)
        self.outbox.put(data)

    def _print(self, text, stream):
        """Never waits: the caller may be the program's event loop. False if the console is gone; a command that is not over
        yet then prints nowhere."""
        if self.closed:
            return self.worker == _get_ident()
        if self.queued > _MAX_QUEUED:
            self.dropped += len(text)
            return True
        if self.dropped:
            text = "[%d characters were dropped]\n%s" % (self.dropped, text)
            self.dropped = 0
        for at in range(0, len(text), _MAX_TEXT):
            self._send({"id": self.request, "out": text[at : at + _MAX_TEXT], "stream": stream})
        return True

    def _interrupt(self, of):
        with self.lock:
            if self.running is None or (of is not None and of != self.running):
                return False
            future = self.awaiting
            if future is None:
                try:
                    from ctypes import c_ulong, py_object, pythonapi
                except ImportError:
                    return False
                if self.worker is None:
                    return False
                pythonapi.PyThreadState_SetAsyncExc(c_ulong(self.worker), py_object(KeyboardInterrupt))
                return True
        future.cancel()
        return True

    # -- operations

    def _perform(self, request, reply):
        self.request = request.get("id")
        operation = _OPERATIONS.get(request["op"])
        if operation is None:
            raise _Refused("this agent does not know the operation %r" % request["op"])
        if request["op"] not in _UNINTERRUPTED:
            self._allow_interrupts()
        operation(self, request, reply)

    def _allow_interrupts(self):
        with self.lock:
            self.running = self.request

    def run(self, request, reply):
        source = request["code"]
        interactive = request.get("interactive", False)
        if interactive and _is_incomplete(source):
            reply["more"] = True
            return
        self.inputs += 1
        name = "<console %d-%d>" % (id(self) >> 4 & 0xFFFF, self.inputs)
        self._remember_source(name, source)
        token = self.streams.route.set(self._print)
        self.streams.begin()
        try:
            # An interrupt must not hit the two lines above, nor those at the end.
            try:
                self._allow_interrupts()
                self._run_source(source, name, reply)
            finally:
                self._settle()
        except _Exit as leaving:
            reply["exit"] = leaving.args[0]
        except SystemExit as leaving:
            reply["failed"] = "SystemExit: %s (contained: the program runs on)" % (leaving.code,)
        except BaseException as error:
            reply["failed"] = _format_failure(error)
        finally:
            self.streams.end()
            self.streams.route.reset(token)

    def _run_source(self, source, name, reply):
        import _ast

        tree = compile(source, name, "exec", _ONLY_AST | _AWAIT, True)
        last = None
        if tree.body and isinstance(tree.body[-1], _ast.Expr):
            last = _ast.Expression(tree.body.pop().value)
        if tree.body:
            self._evaluate(compile(tree, name, "exec", _AWAIT, True))
        if last is not None:
            value = self._evaluate(compile(last, name, "eval", _AWAIT, True))
            if value is _leave:
                value()
            if value is not None:
                self.names["_"] = value
                reply["value"] = _limited(repr(value))

    def _evaluate(self, code):
        result = eval(code, self.names)
        return self._await(result) if code.co_flags & _COROUTINE else result

    def _await(self, coroutine):
        """On the program's running loop; on one of its own where there is none."""
        import asyncio

        loops = _running_loops()
        if not loops:
            return asyncio.run(coroutine)
        done = _allocate_lock()
        done.acquire()
        future = asyncio.run_coroutine_threadsafe(coroutine, loops[0])
        try:
            future.add_done_callback(lambda _: done.release())
            with self.lock:
                self.awaiting = future
            done.acquire()
        finally:
            with self.lock:
                self.awaiting = None
            # Interrupted before it could be waited for.
            future.cancel()
        if future.cancelled():
            raise KeyboardInterrupt("the awaited coroutine was cancelled")
        return future.result()

    def _remember_source(self, name, source):
        import linecache

        lines = [line + "\n" for line in source.splitlines()]
        linecache.cache[name] = (len(source), None, lines, name)

    def _forget_sources(self):
        linecache = sys.modules.get("linecache")
        if linecache is not None:
            for number in range(1, self.inputs + 1):
                linecache.cache.pop("<console %d-%d>" % (id(self) >> 4 & 0xFFFF, number), None)

    def _forget_names(self):
        """Functions and coroutines that a command has given to the program need these names for as long as it has them."""
        exec("def _(): pass", self.names)
        kept_here = sys.getrefcount(self.names["_"])
        own = 0
        for name in list(self.names):
            if type(self.names[name]) is not type(_original):
                continue
            if sys.getrefcount(self.names[name]) == kept_here:
                own += self.names[name].__globals__ is self.names
        if sys.getrefcount(self.names) == self.unused_names + own:
            self.names.clear()

    def complete(self, request, reply):
        import re

        match = re.search(r"(?:([A-Za-z_][\w.]*)\.)?([A-Za-z_]\w*)?$", request["text"])
        path, prefix = match.group(1), match.group(2) or ""
        if path is None:
            import keyword

            main = sys.modules.get("__main__")
            found = set(self.names) | set(getattr(main, "__dict__", ())) | set(keyword.kwlist)
            builtins = sys.modules["builtins"]
            found.update(dir(builtins))
        else:
            found = _attributes_of(self.names, path.split("."))
        found = [name for name in found if isinstance(name, str) and name.startswith(prefix)]
        if not prefix.startswith("_"):
            found = [name for name in found if not name.startswith("_")]
        reply["names"] = sorted(found)[:1000]
        reply["prefix"] = prefix

    def tasks(self, request, reply):
        import asyncio

        loops = _running_loops()
        reply["loops"] = len(loops)
        rows = reply["tasks"] = []
        for number, loop in enumerate(loops):
            for task in asyncio.all_tasks(loop):
                if len(rows) == _TASK_LIMIT:
                    reply["more"] = True
                    return
                rows.append(_describe_task(task, number))

    def where(self, request, reply):
        reply["task"] = _describe_task(_find_task(request["task"])[0], 0)

    def cancel(self, request, reply):
        task, loop = _find_task(request["task"])
        reply["task"] = _describe_task(task, 0)
        loop.call_soon_threadsafe(task.cancel)

    def stack(self, request, reply):
        threading = sys.modules.get("threading")
        active = dict(getattr(threading, "_active", {}) or {})
        rows = reply["threads"] = []
        for ident, frame in sys._current_frames().items():
            if ident in self.shared.threads:
                continue
            frames = []
            while frame is not None and len(frames) < _DEPTH_LIMIT:
                frames.append([frame.f_code.co_filename, frame.f_lineno or 0, frame.f_code.co_name])
                frame = frame.f_back
            thread = active.get(ident)
            name = thread.name if thread is not None else ""
            rows.append({"ident": ident, "name": str(name), "frames": frames})

    def gc(self, request, reply):
        import gc
        import time

        if request.get("collect"):
            before = time.perf_counter()
            reply["collected"] = gc.collect()
            reply["seconds"] = time.perf_counter() - before
        reply.update(
            enabled=gc.isenabled(),
            counts=list(gc.get_count()),
            thresholds=list(gc.get_threshold()),
            garbage=len(gc.garbage),
            frozen=gc.get_freeze_count(),
            stats=gc.get_stats(),
        )

    def obj(self, request, reply):
        """The object at an address, if it is still one: looked for among those that the collector knows and what they
        refer to, so that no memory is taken for an object."""
        found = _find_object(int(request["address"]))
        if not found:
            raise _Refused(
                "there is no such object now: it was freed, or nothing that the collector knows refers to it"
            )
        value = found[0]
        found.clear()
        type_name = type(value).__name__
        wanted = request.get("type")
        if wanted is not None and wanted.rpartition(".")[2] != type_name:
            raise _Refused("there is a %s now, not a %s" % (type_name, wanted))
        self.names["obj"] = self.names["_"] = value
        reply["type"] = type_name
        try:
            reply["value"] = _limited(repr(value), 2000)
        except Exception as error:
            reply["value"] = "<repr failed: %s>" % type(error).__name__

    def tracemalloc(self, request, reply):
        """`action`: start (frames), stop, status. What was started here ends with the console."""
        import tracemalloc

        action = request.get("action", "status")
        reply["wasTracing"] = tracemalloc.is_tracing()
        if action == "start":
            if not tracemalloc.is_tracing():
                before = _nanoseconds_per_object()
                self.tracer = _Tracer(int(request.get("frames", 1)))
                reply["objectNs"] = [before, _nanoseconds_per_object()]
        elif action == "stop":
            self._stop_tracer()
        elif action != "status":
            raise _Refused("tracemalloc cannot %r" % action)
        current, peak = tracemalloc.get_traced_memory()
        reply.update(
            tracing=tracemalloc.is_tracing(),
            frames=tracemalloc.get_traceback_limit(),
            tracedBytes=current,
            peakBytes=peak,
            tracerBytes=tracemalloc.get_tracemalloc_memory(),
        )

    def _stop_tracer(self):
        tracer, self.tracer = self.tracer, None
        if tracer is not None:
            tracer.stop()

    def ping(self, request, reply):
        pass


_UNINTERRUPTED = frozenset(("run", "cancel", "tracemalloc", "ping"))
_OPERATIONS = {
    "run": _Console.run,
    "complete": _Console.complete,
    "tasks": _Console.tasks,
    "where": _Console.where,
    "cancel": _Console.cancel,
    "stack": _Console.stack,
    "gc": _Console.gc,
    "obj": _Console.obj,
    "tracemalloc": _Console.tracemalloc,
    "ping": _Console.ping,
}


class _Tracer:
    """tracemalloc, which until 3.12.8 and 3.13.1 must not be stopped while another thread, without the interpreter's lock, is
    inside of its hook for raw memory (zlib and bz2 allocate so): that would write through a null pointer. So the hook is
    taken out before, and who is inside gets time to leave it."""

    def __init__(self, frames):
        import tracemalloc

        self.before = self.hooked = None
        if sys.version_info < (3, 12, 9) or (3, 13) <= sys.version_info < (3, 13, 2):
            self.before = self._raw_allocator()
        tracemalloc.start(frames)
        if self.before is not None:
            self.hooked = self._raw_allocator()

    def _raw_allocator(self):
        """ctx, malloc, calloc, realloc, free; None without ctypes."""
        try:
            from ctypes import byref, c_void_p, pythonapi
        except ImportError:
            return None
        allocator = (c_void_p * 5)()
        pythonapi.PyMem_GetAllocator(0, byref(allocator))
        return allocator

    def stop(self):
        import time
        import tracemalloc

        if self.hooked is not None and list(self._raw_allocator()) == list(self.hooked):
            from ctypes import byref, pythonapi

            # Python's own functions have no ctx; a thread may have read the hook and not its ctx yet.
            if self.before[0] is None:
                self.before[0] = self.hooked[0]
            pythonapi.PyMem_SetAllocator(0, byref(self.before))
            for _ in range(10 + len(sys._current_frames())):
                time.sleep(0.01)
        tracemalloc.stop()


# ---- Names that a console has of its own, because Python's would use the program's terminal.


class _Leave:
    """exit and quit; without parentheses, too."""

    def __call__(self, code=None):
        raise _Exit(code if isinstance(code, int) else None)

    def __repr__(self):
        return "exit() leaves the console; the program runs on"


_leave = _Leave()


def _no_input(prompt=""):
    raise RuntimeError("a console has no input(): it would read the program's own")


def _no_breakpoint(*args, **kwargs):
    raise RuntimeError("a console has no breakpoint(): it would read the program's own input")


def _plain_help(thing):
    import pydoc

    print(pydoc.plain(pydoc.render_doc(thing)))


# ---- Helpers.


def _forget_thread(ident):
    """Logging makes an entry for each thread that threading does not know; before 3.13 it stays there for ever."""
    threading = sys.modules.get("threading")
    dummy = getattr(threading, "_DummyThread", None)
    if dummy is not None and isinstance(threading._active.get(ident), dummy):
        # Without its lock, which may be gevent's: this is one step.
        threading._active.pop(ident, None)


def _is_incomplete(source):
    """Whether a line more may complete it; as codeop does it, but without touching the filters of `warnings`."""
    if all(line.strip() == "" or line.lstrip().startswith("#") for line in source.split("\n")):
        return False
    flags = _DONT_IMPLY_DEDENT | _AWAIT
    if sys.version_info >= (3, 11):
        flags |= _ALLOW_INCOMPLETE
    failures = []
    for ending in ("", "\n", "\n\n"):
        try:
            compile(source + ending, "<console>", "single", flags, True)
        except SyntaxError as error:
            if "incomplete input" in str(error):
                return True
            if "multiple statements" in str(error):
                return False
            failures.append(repr(error))
        except (ValueError, OverflowError, MemoryError):
            return False
        else:
            # What compiles only with an empty line more is waiting for it.
            return ending != ""
    if all("was never closed" in failure for failure in failures[1:]):
        return True
    return failures[1] != failures[2]


def _describe(error):
    if isinstance(error, _Refused):
        return str(error)
    return "%s: %s" % (type(error).__name__, error)


def _limited(text, limit=_MAX_TEXT):
    return text if len(text) <= limit else text[:limit] + "... (%d characters)" % len(text)


def _format_failure(error):
    """As Python prints it, from the command's own first frame on."""
    import traceback

    trace = first = error.__traceback__
    while trace is not None and not trace.tb_frame.f_code.co_filename.startswith("<console "):
        trace = trace.tb_next
    if trace is None and isinstance(error, SyntaxError):
        first = None
    lines = traceback.format_exception(type(error), error, trace or first)
    return _limited("".join(lines).rstrip("\n"))


def _attributes_of(names, path):
    """Attributes of a dotted name. Properties on the way are not called."""
    try:
        value = names[path[0]]
    except KeyError:
        value = getattr(sys.modules["builtins"], path[0], None)
        if value is None:
            return []
    for part in path[1:]:
        if isinstance(getattr(type(value), part, None), property):
            return []
        try:
            value = getattr(value, part)
        except Exception:
            return []
    try:
        return dir(value)
    except Exception:
        return []


_LOOP_FUNCTIONS = frozenset(("run_forever", "run_until_complete", "run"))
_LOOP_MODULES = frozenset(("asyncio", "uvloop"))


def _nanoseconds_per_object():
    """Of processor time: what it costs to make a small object and to free it; the least of some tries."""
    import time

    times = []
    for _ in range(7):
        start = time.thread_time()
        kept = [bytearray(48) for _ in range(500)]
        times.append(time.thread_time() - start)
        del kept
    return round(min(times) / 500 * 1e9)


def _running_loops():
    """Event loops that run now, the main thread's first: seen in the frames of the threads, else among all objects."""
    events = sys.modules.get("asyncio.events")
    if events is None:
        return []
    base = events.AbstractEventLoop
    found = []

    def add(value):
        if base in type(value).__mro__ and value not in found and value.is_running():
            found.append(value)

    threading = sys.modules.get("threading")
    main = getattr(getattr(threading, "_main_thread", None), "ident", None)
    frames = sorted(sys._current_frames().items(), key=lambda item: item[0] != main)
    for _, frame in frames:
        depth = 0
        while frame is not None and depth < 1000:
            code = frame.f_code
            # No others: before 3.13, whoever looks at a frame's variables makes it keep them.
            is_of_loop = code.co_name in _LOOP_FUNCTIONS and (
                frame.f_globals.get("__name__", "").partition(".")[0] in _LOOP_MODULES
            )
            if is_of_loop:
                for name in {"self", "loop"} & set(code.co_varnames):
                    value = frame.f_locals.get(name)
                    add(value)
                    if hasattr(type(value), "get_loop") and code.co_name == "run":
                        add(getattr(value, "_loop", None))
            frame = frame.f_back
            depth += 1
    if not found:
        for value in _find_loops(base):
            add(value)
    return found


def _find_task(name):
    import asyncio

    for loop in _running_loops():
        for task in asyncio.all_tasks(loop):
            if task.get_name() == name or hex(id(task)) == name:
                return task, loop
    raise _Refused("no task of a running loop has the name or address %r" % name)


def _describe_task(task, loop_number):
    frames = []
    coroutine = task.get_coro()
    waits = None
    for _ in range(_DEPTH_LIMIT):
        for frame_name, await_name in (
            ("cr_frame", "cr_await"),
            ("gi_frame", "gi_yieldfrom"),
            ("ag_frame", "ag_await"),
        ):
            if hasattr(coroutine, frame_name):
                break
        else:
            waits = type(coroutine).__name__
            break
        frame = getattr(coroutine, frame_name)
        name = getattr(coroutine, "__qualname__", type(coroutine).__name__)
        if frame is not None:
            frames.append([frame.f_code.co_filename, frame.f_lineno or 0, name])
        coroutine = getattr(coroutine, await_name)
        if coroutine is None:
            break
    state = "cancelled" if task.cancelled() else "done" if task.done() else "pending"
    return {
        "name": task.get_name(),
        "address": hex(id(task)),
        "loop": loop_number,
        "state": state,
        "frames": frames,
        "waitsFor": waits,
    }


_CHUNK = 50000


def _all_objects(first=0, count=None):
    """What the collector knows, for one call of a C function that takes all of it: other threads then run neither while the
    list is made nor while it is there. Until Python 3.13, tuple() in a thread fails with a SystemError if somebody else has a
    reference to the tuple that it is making."""
    from gc import get_objects
    from itertools import chain, islice, starmap

    objects = chain.from_iterable(starmap(get_objects, ((),)))
    if count is None:
        return objects
    # The second part gives nothing and takes the rest.
    return chain(islice(objects, first, first + count), islice(objects, sys.maxsize, None))


def _find_object(address):
    """A list with the object at `address`, or an empty one. It is taken while a list that holds it is there."""
    from gc import get_referents
    from itertools import chain

    try:
        from _ctypes import PyObj_FromPtr
    except ImportError:
        raise _Refused("this Python has no _ctypes, which it takes to get at an object by its address")
    found = list(map(PyObj_FromPtr, filter(address.__eq__, map(id, _all_objects()))))
    first = 0
    count = sum(map(bool, map(id, _all_objects())))
    while not found and first < count:
        # In parts, so that no thread waits for long.
        referents = chain.from_iterable(map(get_referents, _all_objects(first, _CHUNK)))
        found = list(map(PyObj_FromPtr, filter(address.__eq__, map(id, referents))))
        first += _CHUNK
    return found[:1]


def _find_loops(base):
    """Objects of the collector's whose type is derived from `base`: types that are not are left out by their names."""
    from itertools import chain, groupby, starmap

    others = dict.fromkeys(
        kind for kind in set(map(type, _all_objects())) if base not in type.mro(kind)
    )
    runs = groupby(chain(_all_objects(), (None,)), type)
    return [
        value
        for value in list(chain.from_iterable(filter(None, starmap(others.get, runs))))
        if base in type(value).__mro__
    ]


def _shut(sock):
    """For the other side and for copies that a fork made, too."""
    try:
        sock.shutdown(2)
    except OSError:
        pass
    try:
        sock.close()
    except OSError:
        pass


def _peer_uid(sock):
    credentials = sock.getsockopt(1, 17, 12)  # SOL_SOCKET, SO_PEERCRED: pid, uid, gid
    return int.from_bytes(credentials[4:8], sys.byteorder)


def _hello(token):
    from posix import getpid

    return {
        "hello": VERSION,
        "token": token,
        "pid": getpid(),
        "python": "%d.%d.%d" % sys.version_info[:3],
    }


def connect(path, token, uids=()):
    """Runs a console over a socket on which leakscope listens; returns when it ends. `uids`: whom to accept besides root
    and the own user."""
    import _socket
    from posix import geteuid, getpid

    sock = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
    try:
        sock.settimeout(10)
        sock.connect(path)
        sock.settimeout(None)
        if _peer_uid(sock) not in (0, geteuid(), *uids):
            return
        _Console(sock, getpid()).serve(_hello(token))
    finally:
        _shut(sock)


# ---- The cooperative way.


def socket_folder():
    """Where a program of this user listens by default."""
    from posix import environ, geteuid

    given = environ.get(b"LEAKSCOPE_AGENTS")
    return given.decode() if given else "/tmp/leakscope-agents-%d" % geteuid()


_listening = {}


def listen(folder=None):
    """Lets `leakscope console` in without writing to this process's memory: one thread that waits at a socket, which only
    this user (and root) can open. Forked children listen, too. Costs: from Python 3.12 on, os.fork() warns in processes
    with several threads. Returns the path of the socket."""
    import os

    folder = folder or socket_folder()
    try:
        os.mkdir(folder, 0o700)
    except FileExistsError:
        pass
    status = os.lstat(folder)
    if status.st_uid != os.geteuid() or status.st_mode & 0o170077 != 0o040000:
        raise PermissionError("%s is not a folder that only this user can open" % folder)
    path = "%s/%d.sock" % (folder, os.getpid())
    if _listening.get("pid") == os.getpid():
        return path
    is_first = not _listening
    _listening["pid"] = os.getpid()
    _listen_at(path)
    if is_first:
        import atexit

        os.register_at_fork(after_in_child=lambda: _listen_again(folder))
        atexit.register(_stop_listening)
    return path


def _listen_again(folder):
    inherited = _listening.pop("socket", None)
    if inherited is not None:
        inherited.close()
    try:
        listen(folder)
    except Exception:
        pass


def _stop_listening():
    import os

    path = _listening.get("path")
    if path is not None and _listening.get("pid") == os.getpid():
        try:
            os.unlink(path)
        except OSError:
            pass


def _listen_at(path):
    import os
    import _socket

    _remove_dead_sockets(os.path.dirname(path))
    server = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
    unready = "%s.%d" % (path, os.getpid())
    server.bind(unready)
    os.chmod(unready, 0o600)
    server.listen(8)
    # A socket of its name is one that answers. There may be one of an earlier process with this pid.
    os.rename(unready, path)
    _listening.update(socket=server, path=path)
    _start_thread(_accept, (server, os.getpid()))


def _remove_dead_sockets(folder):
    """Of processes that were killed: nobody answers there."""
    import os
    import _socket

    names = [name for name in os.listdir(folder) if name.endswith(".sock")]
    for name in names[:_SOCKET_LIMIT]:
        path = "%s/%s" % (folder, name)
        caller = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
        try:
            caller.setblocking(False)
            caller.connect(path)
        except ConnectionRefusedError:
            try:
                os.unlink(path)
            except OSError:
                pass
        except OSError:
            pass
        finally:
            caller.close()


def _accept(server, pid):
    import _socket
    from posix import geteuid

    while True:
        try:
            fd, _ = server._accept()
        except OSError:
            return
        sock = _socket.socket(fileno=fd)
        sock.settimeout(None)
        if _peer_uid(sock) in (0, geteuid()):
            _start_thread(_serve, (sock, pid))
        else:
            _shut(sock)


def _serve(sock, pid):
    try:
        _Console(sock, pid).serve(_hello(None))
    except BaseException:
        _shut(sock)
