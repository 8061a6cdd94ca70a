"""Prints what it knows about its own interpreter as one line of JSON and then waits for its stdin to end.

Arguments: `subinterpreters`, `frozen` (gc.freeze), `many` (a heap of many arenas).
"""
import atexit
import codecs
import gc
import json
import os
import sys
import threading

lock = threading.Lock()
lock.acquire()
ready = threading.Event()
handled = []


def describe(frame):
    rows = []
    while frame is not None:
        is_function = frame.f_code.co_flags & 2
        rows.append({
            "name": frame.f_code.co_name,
            "file": frame.f_code.co_filename,
            "line": frame.f_lineno,
            "locals": {k: id(v) for k, v in frame.f_locals.items()} if is_function else {},
            "globals": id(frame.f_globals),
        })
        frame = frame.f_back
    return rows


def describe_threads():
    threads = []
    for ident, frame in sys._current_frames().items():
        if ident == threading.get_ident():
            frame = sys._getframe(2)
        native = [t.native_id for t in threading.enumerate() if t.ident == ident]
        threads.append({"ident": ident, "native": native[0], "frames": describe(frame)})
    return threads


def blocked(argument, *more, **named):
    text = "in a thread"

    class Inner:
        attribute = argument

    try:
        raise ValueError("handled in a thread")
    except ValueError as error:
        handled.append(id(error))
        ready.set()
        with lock:
            return text


def on_exit(*arguments):
    pass


def search(name):
    return None


def on_collection(phase, info):
    pass


def subinterpreters(count):
    try:
        import _interpreters as interpreters
    except ImportError:
        import _xxsubinterpreters as interpreters
    run = getattr(interpreters, "run_string", None) or interpreters.exec
    created = [interpreters.create() for _ in range(count)]
    for one in created:
        run(one, "import gc; gc.disable(); keep = [{'own': i} for i in range(500)]")
    return created


def truth():
    threads = describe_threads()
    small = object()
    kept.append(small)
    sizes = [bytes(n) for n in (1, 100, 400, 600, 100000)]
    kept.append(sizes)
    facts = {
        "hexversion": sys.hexversion,
        "version": sys.version,
        "typeType": id(type),
        "sysdict": id(sys.__dict__),
        "modules": id(sys.modules),
        "builtins": id(sys.modules["builtins"].__dict__),
        "threads": threads,
        "plain": {"address": id(small), "bytes": sys.getsizeof(small)},
        "bytes": [{"address": id(b), "bytes": sys.getsizeof(b)} for b in sizes],
        "held": {
            "garbage": id(gc.garbage),
            "callbacks": id(gc.callbacks),
            "handled": handled[0],
            "on_exit": id(on_exit),
        },
    }
    text = json.dumps(facts)[:-1]
    del facts, threads, small, sizes
    gc.collect()
    gc.disable()
    if "frozen" in sys.argv:
        gc.freeze()
    more = [[i] for i in range(50)]
    kept.append(more)
    counts = [0, 0]
    kept.append(counts)
    counts[0] = len(gc.get_objects())
    counts[0] = len(gc.get_objects()) + gc.get_freeze_count()
    counts[1] = sys.getallocatedblocks()
    os.write(1, ('%s, "tracked": %d, "blocks": %d}\n' % (text, counts[0], counts[1])).encode())


kept = []
if "many" in sys.argv:
    kept.extend({"k%d" % i: [i, str(i)]} for i in range(60000))
    del kept[::3]
    del kept[10000:25000]
if "subinterpreters" in sys.argv:
    kept.append(subinterpreters(2))
atexit.register(on_exit, 1)
codecs.register(search)
gc.callbacks.append(on_collection)


def make_closure():
    cell_value = ["cell"]

    def leaf(x, key=None):
        local = {"x": x}
        use = cell_value
        big = [
            i for i in range(3)
        ]
        try:
            raise ValueError("handled")
        except ValueError:
            for item in [object()]:
                (truth(), os.read(0, 1))
        return local, use, big, item

    return leaf


def generator(f):
    inside = "generator local"
    yield f("from a generator")
    yield inside


class Thing:
    def method(self, f):
        it = generator(f)
        return max([1], key=lambda v: next(it))


async def coroutine(f):
    awaited = "coroutine local"
    return Thing().method(f), awaited


def through_a_class_body(f):
    class Body:
        in_body = 1
        try:
            coroutine(f).send(None)
        except StopIteration:
            pass


thread = threading.Thread(
    target=blocked, args=(object(), 1, 2), kwargs={"k": "v"}, daemon=True
)
thread.start()
ready.wait()
# The thread has to stand in `with lock`, which it reaches at once.
while True:
    frame = sys._current_frames()[thread.ident]
    if frame.f_code.co_name == "blocked" and frame.f_lineno == blocked.__code__.co_firstlineno + 11:
        del frame
        break
    del frame
through_a_class_body(make_closure())
