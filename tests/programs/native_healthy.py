"""Programs that lose nothing: native_healthy.py NAME. Prints {"pid": ...} when it is warm, then does a round of work and
answers for each line of stdin. {"missing": ...} tells a package that is not there.
"""

import gc
import json
import os
import sys
import threading


def stdlib():
    import bz2, csv, ctypes, decimal, hashlib, io, lzma, pickle, re, sqlite3, struct, zlib
    import xml.etree.ElementTree as ElementTree
    from collections import Counter, OrderedDict, deque

    base = sqlite3.connect(":memory:")
    base.execute("create table orders (id integer primary key, name text, price real)")
    ctypes.CDLL(None).malloc.restype = ctypes.c_void_p
    compare = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_int), ctypes.POINTER(ctypes.c_int))
    history = deque(maxlen=50)
    compressor = zlib.compressobj()

    def work(number):
        with base:
            base.executemany(
                "insert or replace into orders values (?, ?, ?)",
                [(i, "order %d" % (i + number), i * 1.5) for i in range(2000)],
            )
        rows = base.execute("select * from orders where price > 10").fetchall()
        text = ElementTree.tostring(ElementTree.fromstring("<a>%s</a>" % ("<b c='1'>x</b>" * 500)))
        numbers = (ctypes.c_int * 100)(*range(100, 0, -1))
        ctypes.CDLL(None).qsort(
            numbers, 100, ctypes.sizeof(ctypes.c_int), compare(lambda a, b: a[0] - b[0])
        )
        packed = [lzma.compress(text), bz2.compress(text), zlib.compress(text), pickle.dumps(rows)]
        history.append(OrderedDict(a=packed, b=re.findall(r"(\w+) (\d+)", " ".join(r[1] for r in rows))))
        out = io.StringIO()
        csv.writer(out).writerows(rows)
        history.append([hashlib.sha256(out.getvalue().encode()), Counter(out.getvalue())])
        history.append(sum((decimal.Decimal(i) / 7 for i in range(300)), decimal.Decimal(0)))
        history.append(struct.pack("<20d", *range(20)))
        history.append(compressor.compress(text))

    return work


def anonymous_tls(side):
    """A context without a certificate: only for a test."""
    import ssl

    own = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER if side == "server" else ssl.PROTOCOL_TLS_CLIENT)
    own.check_hostname = False
    own.verify_mode = ssl.CERT_NONE
    own.maximum_version = ssl.TLSVersion.TLSv1_2
    own.set_ciphers("AECDH-AES128-SHA:@SECLEVEL=0")
    return own


def tls():
    import ssl

    server, client = anonymous_tls("server"), anonymous_tls("client")
    open_now = []

    def connect():
        there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
        ends = [server.wrap_bio(there, back, server_side=True), client.wrap_bio(back, there)]
        waiting = list(ends)
        while waiting:
            for end in list(waiting):
                try:
                    end.do_handshake()
                    waiting.remove(end)
                except ssl.SSLWantReadError:
                    pass
        return ends

    def work(number):
        del open_now[20:]
        for _ in range(20):
            one, other = connect()
            one.write(b"x" * 10000)
            other.read(10000)
            open_now.insert(0, (one, other))

    return work


def threads():
    import queue

    jobs, done = queue.Queue(), queue.Queue()

    def worker():
        local = threading.local()
        while True:
            job = jobs.get()
            local.last = [str(job) * 20 for _ in range(200)]
            done.put(len(json.dumps(local.last)))

    for _ in range(6):
        threading.Thread(target=worker, daemon=True).start()

    def work(number):
        for i in range(200):
            jobs.put(i)
        for _ in range(200):
            done.get()

    return work


def cycles():
    """Garbage that waits: collected every third round only."""
    gc.disable()

    class Node:
        def __init__(self, number):
            self.itself = self
            self.number = number
            self.data = [bytearray(200), {number: self}, (self, "text %d" % number)]

    def work(number):
        for i in range(3000):
            Node(i)
        if number % 3 == 0:
            gc.collect()

    return work


def forks():
    """Workers that live for some rounds, with what they share."""
    table = {i: "value %d" % i for i in range(50000)}
    workers = []

    def work(number):
        read_end, write_end = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(write_end)
            own = {i: table[i] + "!" for i in range(5000)}
            os.read(read_end, 1)
            os._exit(len(own) & 1)
        os.close(read_end)
        workers.append((pid, write_end))
        if len(workers) > 2:
            old, end = workers.pop(0)
            os.write(end, b"x")
            os.close(end)
            os.waitpid(old, 0)

    return work


def asyncio_server():
    import asyncio

    async def serve(reader, writer):
        while True:
            line = await reader.readline()
            if not line:
                break
            writer.write(line * 20)
            await writer.drain()
        writer.close()

    loop = asyncio.new_event_loop()
    server = loop.run_until_complete(asyncio.start_server(serve, "127.0.0.1", 0))
    port = server.sockets[0].getsockname()[1]

    async def ask():
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for _ in range(5):
            writer.write(b"hello\n")
            await reader.readexactly(120)
        writer.close()
        await writer.wait_closed()

    async def ask_all():
        await asyncio.gather(*(ask() for _ in range(20)))

    return lambda number: loop.run_until_complete(ask_all())


def numpy_arrays():
    import numpy

    kept = []

    def work(number):
        del kept[:]
        a = numpy.random.default_rng(number).normal(size=(400, 400))
        kept.append(a @ a.T)
        kept.append(a[::2, ::3])
        kept.append(numpy.linalg.svd(a[:60, :60]))
        kept.append(numpy.fft.rfft(a.ravel()))
        kept.append(numpy.array([{"a": i} for i in range(500)], dtype=object))
        kept.append(numpy.array(["text %d" % i for i in range(500)]))

    return work


def scipy_sparse():
    import numpy
    import scipy.optimize
    import scipy.sparse
    import scipy.spatial

    kept = []

    def work(number):
        del kept[:]
        rng = numpy.random.default_rng(number)
        kept.append(scipy.sparse.random(1000, 1000, 0.01, "csr", rng=rng) @ rng.normal(size=1000))
        kept.append(scipy.spatial.cKDTree(rng.normal(size=(2000, 3))))
        kept.append(scipy.optimize.minimize(lambda x: (x * x).sum(), rng.normal(size=5)))

    return work


def pandas_frames():
    import pandas

    kept = []

    def work(number):
        del kept[:]
        frame = pandas.DataFrame(
            {"key": [i % 17 for i in range(5000)], "name": ["n%d" % i for i in range(5000)], "x": 1.5}
        )
        kept.append(frame.groupby("key").agg({"x": "sum", "name": "count"}))
        kept.append(frame.merge(frame.head(100), on="key").head(50))
        kept.append(pandas.read_csv(__import__("io").StringIO(frame.to_csv())))

    return work


def flask_app():
    import flask

    app = flask.Flask("shop")
    app.secret_key = "k"
    seen = {}

    @app.route("/article/<int:number>", methods=["GET", "POST"])
    def article(number):
        seen[number % 100] = flask.request.headers.get("User-Agent")
        flask.session["last"] = number
        return flask.jsonify(number=number, text="x" * 500)

    client = app.test_client()

    def work(number):
        for i in range(150):
            assert client.post("/article/%d" % i, json={"a": [i]}).status_code == 200

    return work


def aiohttp_app():
    import asyncio
    import aiohttp
    from aiohttp import web

    async def article(request):
        return web.json_response({"id": request.match_info["id"], "text": "x" * 500})

    loop = asyncio.new_event_loop()

    async def start():
        app = web.Application()
        app.router.add_get("/article/{id}", article)
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=anonymous_tls("server"))
        await site.start()
        # Timers that were cancelled stay with the loop until there are a hundred of them.
        session = aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(total=None),
            connector=aiohttp.TCPConnector(ssl=anonymous_tls("client")),
        )
        return site._server.sockets[0].getsockname()[1], session, runner

    port, session, runner = loop.run_until_complete(start())

    async def ask(number):
        async with session.get("https://127.0.0.1:%d/article/%d" % (port, number)) as answer:
            assert (await answer.json())["id"] == str(number)

    async def ask_all():
        for i in range(10):
            await asyncio.gather(*(ask(i * 10 + j) for j in range(10)))

    return lambda number: loop.run_until_complete(ask_all())


try:
    work = globals()[sys.argv[1]]()
except ImportError as error:
    print(json.dumps({"missing": error.name}), flush=True)
    sys.exit(0)
for number in range(12):
    work(number)
print(json.dumps({"pid": os.getpid()}), flush=True)
for line in sys.stdin:
    number += 1
    work(number)
    print(json.dumps(number), flush=True)
