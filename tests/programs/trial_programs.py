"""Programs such as a backend has, one per function: `trial_programs.py NAME [FILE]`. Some leak, some are healthy.

The first line on stdout is the truth as JSON: {"leak", "type", "holder"}, `holder` as a regular expression. What has leaked
so far is counted by the program itself: each line of FILE is `seconds-since-epoch count`. Ends when its stdin is closed.
"""
import abc
import array
import asyncio
import atexit
import collections
import concurrent.futures
import contextlib
import contextvars
import datetime
import decimal
import enum
import functools
import gc
import io
import itertools
import json
import logging
import os
import queue
import random
import re
import sys
import threading
import time
import types
import unittest.mock
import uuid
import warnings
import weakref
import xml.etree.ElementTree

PERIOD = 0.01
random.seed(11)
PROGRAMS = {}
leaked = 0
journal = None


def leak(type, holder, growth=1):
    """`growth`: how many objects each unit that the program counts is."""
    def add(function):
        PROGRAMS[function.__name__] = (function, {'leak': True, 'type': type, 'holder': holder, 'growth': growth})
        return function
    return add


def healthy(function):
    PROGRAMS[function.__name__] = (function, {'leak': False})
    return function


def note():
    if journal is not None:
        os.write(journal, b'%.6f %d\n' % (time.time(), leaked))


def request(number):
    """What every request does besides."""
    body = json.loads(json.dumps({'id': number, 'items': [{'sku': 'sku-%d' % i, 'price': i * 1.5} for i in range(15)]}))
    recent.append(body)
    return sum(item['price'] for item in body['items'])


recent = collections.deque(maxlen=100)
truth = {}


def ready():
    print(json.dumps(truth), flush=True)


def serve(handle, warm_up=150):
    """Calls `handle` for ever; it returns how many objects it leaked (None: one)."""
    global leaked
    for number in itertools.count():
        request(number)
        got = handle(number)
        leaked += 1 if got is None else got
        note()
        if number == warm_up:
            ready()
        if number > warm_up:
            time.sleep(PERIOD)


async def serve_async(handle, warm_up=150):
    global leaked
    for number in itertools.count():
        request(number)
        got = await handle(number)
        leaked += 1 if got is None else got
        note()
        if number == warm_up:
            ready()
        await asyncio.sleep(PERIOD if number > warm_up else 0)


# --- callbacks, signals, references ----------------------------------------------------------------------------------------
class Signal:
    def __init__(self):
        self.receivers = []

    def connect(self, receiver):
        self.receivers.append(receiver)


order_saved = Signal()


@leak('function', r'__main__\.order_saved\.receivers$')
def signal_closures():
    def handle(number):
        order = {'number': number, 'lines': list(range(number, number + 5))}
        order_saved.connect(lambda sender: order['number'])
    serve(handle)


class Bus:
    def __init__(self):
        self.listeners = collections.defaultdict(list)

    def on(self, event, listener):
        self.listeners[event].append(listener)


class Widget:
    def __init__(self, bus, number):
        self.number = number
        self.state = {'number': number}
        bus.on('refresh', self.refresh)

    def refresh(self):
        self.state['fresh'] = True


@leak('__main__.Widget', r"local 'bus' of .*listeners\['refresh'\]$")
def bound_methods():
    bus = Bus()
    serve(lambda number: Widget(bus, number) and None)


class Connection:
    def __init__(self, number):
        self.number = number


@leak('weakref.ReferenceType', r'__main__\.watchers$')
def weakref_callbacks():
    def handle(number):
        connection = Connection(number)
        watchers.append(weakref.ref(connection, lambda ref: None))
    serve(handle)


watchers = []
sessions_by_key = weakref.WeakKeyDictionary()


class Key:
    pass


@leak('__main__.Key', r'__main__\.sessions_by_key\.data$')
def weak_key_holds_itself():
    def handle(number):
        key = Key()
        sessions_by_key[key] = {'key': key, 'number': number}
    serve(handle)


kept = []


@leak('__main__.Connection', r'__main__\.kept$')
def finalizers():
    def handle(number):
        connection = Connection(number)
        weakref.finalize(connection, print, 'closed', number)
        kept.append(connection)
    serve(handle)


@leak('tuple', r'atexit')
def atexit_callbacks():
    def handle(number):
        atexit.register(os.path.exists, '/tmp/upload-%d' % number)
    serve(handle)


def wrap(handler, number):
    @functools.wraps(handler)
    def wrapped(*arguments):
        return handler(*arguments), number
    return wrapped


class App:
    handler = staticmethod(request)


@leak('function', r'App')
def wrapped_again():
    """Middleware that is installed at each request: a chain of closures."""
    def handle(number):
        App.handler = staticmethod(wrap(App.__dict__['handler'].__func__, number))
    serve(handle)


# --- context, threads, tasks -----------------------------------------------------------------------------------------------
user = contextvars.ContextVar('user')
trail = contextvars.ContextVar('trail', default=())
contexts = []


@leak('_contextvars.Context', r'__main__\.contexts$')
def contexts_kept():
    def handle(number):
        user.set({'number': number, 'name': 'user %d' % number})
        contexts.append(contextvars.copy_context())
    serve(handle)


@leak('dict', r'trail|Context|context')
def contextvar_list():
    """A list in a context variable that nobody resets."""
    steps = contextvars.ContextVar('steps')
    steps.set([])

    def handle(number):
        steps.get().append({'step': number})
    serve(handle)


def worker_of(pool_local):
    def work(number):
        if not hasattr(pool_local, 'seen'):
            pool_local.seen = []
        pool_local.seen.append({'number': number})
    return work


@leak('dict', r'seen$')
def thread_locals():
    local = threading.local()
    work = worker_of(local)
    executor = concurrent.futures.ThreadPoolExecutor(4)
    serve(lambda number: executor.submit(work, number).result())


@leak('concurrent.futures.thread._WorkItem', r'_work_queue')
def executor_backlog():
    """Jobs are submitted faster than they are done."""
    executor = concurrent.futures.ThreadPoolExecutor(1)
    release = threading.Event()
    executor.submit(release.wait)
    serve(lambda number: executor.submit(request, number) and None)


@leak('concurrent.futures._base.Future', r'__main__\.results$')
def futures_kept():
    executor = concurrent.futures.ThreadPoolExecutor(2)

    def fail(number):
        raise ValueError(number)
    serve(lambda number: results.append(executor.submit(fail, number)))


results = []
jobs = queue.Queue()


@leak('dict', r'__main__\.jobs\.queue$')
def queue_without_consumer():
    def consume():
        while True:
            request(jobs.get()['number'])
            time.sleep(0.05)
    threading.Thread(target=consume, daemon=True).start()

    def handle(number):
        before = jobs.qsize()
        jobs.put({'number': number, 'payload': 'x' * 200})
        return None if before else None
    global leaked
    for number in itertools.count():
        request(number)
        handle(number)
        leaked = jobs.qsize()
        note()
        if number == 150:
            ready()
        time.sleep(PERIOD)


@leak('threading.Thread', r'_active|threading')
def threads_never_end():
    stop = threading.Event()

    def poll(number):
        buffer = ['row %d' % number] * 100
        stop.wait()
        return buffer
    threading.stack_size(65536)
    serve(lambda number: threading.Thread(target=poll, args=(number,), daemon=True).start() if number % 4 == 0 else 0, 40)


@leak('_asyncio.Task', r"^local 'background' of")
def tasks_done_kept():
    background = set()

    async def send(number):
        return {'number': number}

    async def handle(number):
        background.add(asyncio.ensure_future(send(number)))
    asyncio.run(serve_async(handle))


@leak('asyncio.events.TimerHandle', r'_scheduled$')
def timers():
    async def handle(number):
        asyncio.get_running_loop().call_later(3600, request, number)
    asyncio.run(serve_async(handle))


@leak('dict', r'inbox.*_queue$')
def asyncio_queue():
    async def main():
        inbox = asyncio.Queue()

        async def handle(number):
            await inbox.put({'number': number, 'text': 'message %d' % number})
        await serve_async(handle)
    asyncio.run(main())


@leak('async_generator', r'__main__\.streams$')
def async_generators():
    async def stream(number):
        rows = [number + i for i in range(10)]
        for row in rows:
            yield row

    async def handle(number):
        rows = stream(number)
        await rows.__anext__()
        streams.append(rows)
    asyncio.run(serve_async(handle))


streams = []


# --- stores ------------------------------------------------------------------------------------------------------------------
class ResultBackend:
    def __init__(self):
        self._cache = {}

    def store(self, task_id, result):
        self._cache[task_id] = {'status': 'SUCCESS', 'result': result, 'task_id': task_id, 'children': []}


class Celery:
    def __init__(self):
        self.backend = ResultBackend()


celery = Celery()


@leak('dict', r'__main__\.celery\.backend\._cache$')
def task_results():
    serve(lambda number: celery.backend.store(str(uuid.uuid4()), {'total': number * 1.5}))


class Customer:
    def __init__(self, number):
        self.number = number

    @property
    def report(self):
        if not hasattr(self, '_report'):
            self._report = ['line %d of %d' % (i, self.number) for i in range(10)]
        return self._report


if hasattr(functools, 'cached_property'):
    Customer.profile = functools.cached_property(lambda self: {'number': self.number, 'name': 'customer %d' % self.number})
    Customer.profile.__set_name__(Customer, 'profile')

customers = [Customer(number) for number in range(60000)]


@leak('dict', r'__main__\.customers')
def cached_properties():
    """What is computed once per long-lived object and never dropped."""
    serve(lambda number: customers[number % 60000].profile and None)


class Metric:
    def __init__(self, name, labels):
        self._metrics = {}
        self.labelnames = labels

    def labels(self, **values):
        key = tuple(values[name] for name in self.labelnames)
        if key not in self._metrics:
            self._metrics[key] = Sample()
        return self._metrics[key]


class Sample:
    __slots__ = ('value', 'created')

    def __init__(self):
        self.value = 0.0
        self.created = time.time()

    def inc(self):
        self.value += 1


requests_total = Metric('requests', ['path', 'status'])


@leak('__main__.Sample', r'__main__\.requests_total\._metrics$')
def label_explosion():
    serve(lambda number: requests_total.labels(path='/users/%d' % number, status='200').inc())


Point = collections.namedtuple('Point', 'x y label')
track = collections.deque()


@leak('__main__.Point', r'__main__\.track$')
def namedtuples():
    serve(lambda number: track.append(Point(number * 1.5, number * 2.5, 'p%d' % number)))


class Status(enum.Enum):
    open = 1
    closed = 2


class Job:
    __slots__ = ('status', 'amount', 'at', 'data')

    def __init__(self, number):
        self.status = Status.open
        self.amount = decimal.Decimal(number) / 7
        self.at = datetime.datetime.now()
        self.data = array.array('d', range(20))


class Scheduler:
    def __init__(self):
        self.jobs = {}
        self.by_day = collections.defaultdict(list)


scheduler = Scheduler()


@leak('__main__.Job', r'__main__\.scheduler\.jobs$')
def slotted_jobs():
    def handle(number):
        job = scheduler.jobs[number] = Job(number)
        scheduler.by_day[number % 7].append(job)
    serve(handle)


amounts = []


@leak('decimal.Decimal', r'__main__\.amounts$')
def decimals():
    serve(lambda number: amounts.append(decimal.Decimal(number) / 3))


@leak('datetime.datetime', r'__main__\.seen_at$')
def datetimes():
    serve(lambda number: seen_at.add(datetime.datetime.now()))


seen_at = set()


@leak('float', r'__main__\.latencies$')
def floats():
    serve(lambda number: latencies.append(time.perf_counter()))


latencies = []
samples = array.array('d')


@leak('array.array', r'samples')
def growing_array():
    serve(lambda number: samples.extend(range(500)) or 500)


body = bytearray()


@leak('bytearray', r'body')
def growing_bytearray():
    serve(lambda number: body.extend(b'x' * 2000) or 2000)


@leak('list', r'__main__\.flags$')
def flags_of_shared_values():
    """What is appended is the same few objects: only the list itself grows."""
    serve(lambda number: flags.append(number % 2 == 0))


flags = []
transcript = io.StringIO()


@leak('_io.StringIO', r'transcript')
def growing_stringio():
    serve(lambda number: transcript.write('line %d\n' % number * 100) and None)


class Log:
    text = ''


@leak('str', r'Log')
def growing_str():
    def handle(number):
        Log.text += 'line %d of the log\n' % number * 40
    serve(handle)


hits = collections.Counter()


@leak('str', r'__main__\.hits$')
def counter_of_strings():
    def handle(number):
        hits['/users/%d/orders' % number] += 1
    serve(handle)


by_number = collections.defaultdict(int)


@leak('int', r'__main__\.by_number$')
def defaultdict_of_ints():
    def handle(number):
        by_number[number * 1000] += 1
    serve(handle)


by_user = {}


@leak('dict', r'__main__\.by_user\[\*\]')
def many_lists():
    serve(lambda number: by_user.setdefault(number % 37, []).append({'event': number}))


@leak('str', r'__main__\.names$')
def interned_strings():
    serve(lambda number: names.add(sys.intern('feature-%d' % number)))


names = set()


def collect(row, seen=[]):
    seen.append({'row': row})
    return len(seen)


@leak('dict', r'collect')
def default_argument():
    serve(lambda number: collect(number) and None)


calls = {}


def profiler(frame, event, arg):
    if event == 'call' and frame.f_code.co_name == 'request':
        calls[len(calls)] = (frame.f_code.co_name, time.time())


@leak('tuple', r'__main__\.calls$')
def profile_hook():
    sys.setprofile(profiler)
    serve(lambda number: None)


@leak('__main__.Frozen', r'__main__\.Frozen\.all$')
def frozen_then_leaks():
    gc.collect()
    gc.freeze()
    serve(lambda number: Frozen(number) and None)


class Frozen:
    all = []

    def __init__(self, number):
        self.number = number
        self.all.append(self)


@leak('logging.Logger', r'logging\.(Logger\.manager|root\.manager)\.loggerDict$')
def logger_per_request():
    serve(lambda number: logging.getLogger('request.%d' % number).debug('hello') and None)


@leak('logging.StreamHandler', r'logging\.root\.handlers$')
def root_handlers():
    def handle(number):
        if number % 5:
            return 0
        logging.getLogger().addHandler(logging.StreamHandler(io.StringIO()))
    serve(handle)


@leak('logging.LogRecord', r'buffer$')
def memory_handler():
    import logging.handlers
    log = logging.getLogger('shop')
    log.setLevel(logging.INFO)
    log.propagate = False
    log.addHandler(logging.handlers.MemoryHandler(10 ** 9))
    serve(lambda number: log.info('order %d', number))


@leak('tuple', r'__main__\.__warningregistry__$')
def warnings_registry():
    warnings.simplefilter('default')
    warnings.showwarning = lambda *arguments: None

    def handle(number):
        warnings.warn('user %d uses the old api' % number)
    serve(handle)


@leak('unittest.mock._Call', r'mock_calls')
def mock_calls():
    client = unittest.mock.Mock()
    serve(lambda number: client.get(number) and None)


@leak('module', r'sys\.modules|modules')
def dynamic_modules():
    def handle(number):
        module = types.ModuleType('plugin_%d' % number)
        module.settings = {'number': number}
        sys.modules[module.__name__] = module
    serve(handle)


@leak('type', r'Plugin\.registry$')
def classes_registered():
    def handle(number):
        if number % 3:
            return 0
        type('Plugin%d' % number, (Plugin,), {'number': number})
    serve(handle)


class Plugin:
    registry = []

    def __init_subclass__(cls):
        Plugin.registry.append(cls)


@leak('xml.etree.ElementTree.Element', r'root')
def element_tree():
    root = xml.etree.ElementTree.Element('feed')
    serve(lambda number: xml.etree.ElementTree.SubElement(root, 'entry', id=str(number)) is None or None)


@leak('itertools._tee_dataobject', r'slow')
def tee_lagging():
    fast, slow = itertools.tee({'row': number} for number in itertools.count())
    serve(lambda number: next(fast) and None)


class Failure(Exception):
    pass


@leak('__main__.Failure', r'last_error')
def exception_chain():
    def handle(number):
        global last_error
        try:
            try:
                if last_error is not None:
                    raise last_error
                raise Failure(0)
            finally:
                pass
        except Failure as error:
            new = Failure(number)
            new.__cause__ = error
            new.__traceback__ = None
            last_error = new
    serve(handle)


last_error = None


class Node:
    def __init__(self, parent, number):
        self.parent = parent
        self.children = []
        self.number = number
        if parent is not None:
            parent.children.append(self)


@leak('__main__.Node', r'tree')
def random_tree():
    tree = Node(None, 0)

    def handle(number):
        at = tree
        while at.children and random.random() < 0.7:
            at = random.choice(at.children)
        Node(at, number)
    serve(handle)


@leak('bytes', r'__main__\.uploads$')
def large_bytes():
    def handle(number):
        if number % 20:
            return 0
        uploads.append(os.urandom(200_000))
    serve(handle)


uploads = []


@leak('dict', r'stack')
def exit_stack():
    """A context manager's stack that is never closed."""
    stack = contextlib.ExitStack()

    @contextlib.contextmanager
    def transaction(number):
        state = {'number': number}
        yield state
    serve(lambda number: stack.enter_context(transaction(number)) and None)


@leak('dict', r'cache')
def slow_leak_fast_churn():
    cache = {}

    def handle(number):
        for _ in range(10):
            request(number)
        if number % 25:
            return 0
        cache[number] = {'number': number}
    serve(handle)


@leak('dict', r"interpreter|kept|main")
def subinterpreter():
    code = 'kept = []\nnumber = 0\n'
    more = 'for i in range(10):\n kept.append({"number": number, "text": "n" * 100})\n number += 1\n'
    try:
        import _interpreters
        ident = _interpreters.create()
        run = lambda text: _interpreters.exec(ident, text)
    except ImportError:
        import _xxsubinterpreters as old
        ident = old.create()
        run = lambda text: old.run_string(ident, text)
    run(code)
    serve(lambda number: run(more) or 10)


# --- healthy ---------------------------------------------------------------------------------------------------------------------
@healthy
def ring_in_list():
    """A ring of a fixed length that fills slowly."""
    ring = [None] * 100_000

    def handle(number):
        ring[number % len(ring)] = {'number': number}
    serve(handle)


@healthy
def histogram():
    """Counters that exist from the start: their values become ints of their own one by one."""
    counts = [0] * 3000
    serve(lambda number: [counts.__setitem__(i, counts[i] + random.randrange(3)) for i in range(3000)] and None)


class TtlCache:
    def __init__(self, seconds):
        self.seconds = seconds
        self.entries = collections.OrderedDict()

    def put(self, key, value):
        now = time.monotonic()
        self.entries[key] = (now + self.seconds, value)
        while self.entries:
            first = next(iter(self.entries))
            if self.entries[first][0] > now:
                break
            del self.entries[first]


@healthy
def ttl_short():
    cache = TtlCache(0.8)
    serve(lambda number: cache.put(number, {'number': number}))


@healthy
def ttl_full():
    """Expires after longer than a round, and has been full for a while."""
    cache = TtlCache(2.5)
    start = time.monotonic()
    global leaked
    for number in itertools.count():
        request(number)
        cache.put(number, {'number': number})
        if number % 50 == 0 and time.monotonic() - start > 4:
            break
        time.sleep(PERIOD)
    serve(lambda number: cache.put(number + 10 ** 6, {'number': number}))


@healthy
def batches():
    """Collects rows and writes them out every 1.3 seconds."""
    batch = []
    due = [time.monotonic() + 1.3]

    def handle(number):
        batch.append({'number': number, 'text': 'row %d' % number})
        if time.monotonic() > due[0]:
            batch.clear()
            due[0] += 1.3
    serve(handle)


@healthy
def loads_once():
    """A large table is loaded a second after the start, and stays."""
    tables = {}
    start = time.monotonic()

    def handle(number):
        if not tables and time.monotonic() - start > 2:
            tables['prices'] = {i: {'sku': 'sku-%d' % i, 'price': i * 1.1} for i in range(50_000)}
    serve(handle)


@healthy
def lru_of_own():
    entries = collections.OrderedDict()

    def handle(number):
        entries[random.randrange(10 ** 9)] = Connection(number)
        if len(entries) > 120:
            entries.popitem(last=False)
    serve(handle)


@healthy
def warm_up_of_cache():
    """A cache of a bounded set of keys, asked at random: it grows ever more slowly."""
    cache = {}

    def handle(number):
        for _ in range(6):
            key = random.randrange(1500)
            if key not in cache:
                cache[key] = {'key': key, 'value': 'v%d' % key}
    serve(handle, 20)


@healthy
def frozen():
    tables = {i: {'sku': 'sku-%d' % i} for i in range(20_000)}
    gc.collect()
    gc.freeze()
    serve(lambda number: tables[number % 20_000] and None)


@healthy
def tasks_discarded():
    background = set()

    async def send(number):
        await asyncio.sleep(random.random() * 0.1)

    async def handle(number):
        task = asyncio.ensure_future(send(number))
        background.add(task)
        task.add_done_callback(background.discard)
    asyncio.run(serve_async(handle))


@healthy
def timeouts():
    """Each request has a time limit of minutes, whose timer is cancelled when it is done."""
    async def work(number):
        await asyncio.sleep(0)

    async def handle(number):
        for _ in range(5):
            await asyncio.wait_for(work(number), 300)
    asyncio.run(serve_async(handle))


@healthy
def pool_of_threads():
    executor = concurrent.futures.ThreadPoolExecutor(8)
    serve(lambda number: list(executor.map(request, range(8))) and None)


@healthy
def threads_of_requests():
    def handle(number):
        thread = threading.Thread(target=request, args=(number,))
        thread.start()
        thread.join()
    serve(handle)


@healthy
def regular_expressions():
    """Patterns made up at run time: the cache of `re` fills and is bounded."""
    serve(lambda number: re.findall(r'item-%d\b' % (number % 4000), 'item-1 item-2') is None and 0, 30)


@healthy
def classes_collected():
    """A namedtuple class per request: cyclic garbage."""
    def handle(number):
        if number % 4 == 0:
            collections.namedtuple('Row', 'a b c')(1, 2, 3)
    serve(handle)


@healthy
def weak_set():
    live = weakref.WeakSet()

    def handle(number):
        connection = Connection(number)
        live.add(connection)
        alive.append(connection)
    serve(handle)


alive = collections.deque(maxlen=50)


@healthy
def counters():
    """Fixed names, values that change."""
    stats = {'requests': 0, 'seconds': 0.0, 'last': None}

    def handle(number):
        stats['requests'] += 10 ** 12
        stats['seconds'] += 0.1
        stats['last'] = {'number': number, 'at': time.time()}
    serve(handle)


@healthy
def pooled_buffers():
    """Buffers of random sizes, taken from and given back to a pool."""
    pool = [bytearray(1000) for _ in range(20)]

    def handle(number):
        buffer = pool.pop(random.randrange(len(pool)))
        buffer.extend(b'x' * random.randrange(5000))
        del buffer[1000:]
        pool.append(buffer)
    serve(handle)


@healthy
def queue_at_its_limit():
    waiting = queue.Queue(500)

    def consume():
        while True:
            request(waiting.get()['number'])
    threading.Thread(target=consume, daemon=True).start()
    serve(lambda number: waiting.put({'number': number}))


@healthy
def busy_queue():
    """Bursts: the length of the queue is different at each look."""
    waiting = collections.deque()

    def handle(number):
        if random.random() < 0.03:
            waiting.extend({'number': i} for i in range(random.randrange(300)))
        for _ in range(5):
            if waiting:
                request(waiting.popleft()['number'])
    serve(handle)


@healthy
def grows_then_plateau():
    """A registry of the users that are online: as many come as go."""
    online = {}

    def handle(number):
        for _ in range(5):
            online[random.randrange(10 ** 9)] = Connection(number)
        while len(online) > 900 + 100 * random.random():
            online.pop(next(iter(online)))
    serve(handle, 400)


@healthy
def sawtooth_of_cycles():
    def handle(number):
        for _ in range(30):
            a, b = Connection(number), Connection(number)
            a.other, b.other = b, a
    serve(handle)


@healthy
def loggers_by_module():
    log = logging.getLogger('shop.orders')
    log.setLevel(logging.INFO)
    log.propagate = False
    log.addHandler(logging.StreamHandler(open(os.devnull, 'w')))
    serve(lambda number: log.info('order %d %s', number, {'number': number}))


if __name__ == '__main__':
    def wait_for_end():
        while os.read(0, 100):
            pass
        os._exit(0)

    threading.Thread(target=wait_for_end, daemon=True, name='stdin').start()
    run, truth = PROGRAMS[sys.argv[1]]
    if len(sys.argv) > 2:
        journal = os.open(sys.argv[2], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    run()
