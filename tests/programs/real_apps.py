"""Programs such as people run, one per function: `real_apps.py NAME`. Some leak in a way that is common, some are healthy.

The first line on stdout is JSON: {"pid", "port"} with the process to hunt and the port to send requests to (0 if it makes
its own load). A program ends when its stdin is closed.
"""

import asyncio
import collections
import functools
import http.server
import io
import json
import logging
import os
import socketserver
import sys
import threading
import time


def announce(port=0, pid=None):
    print(json.dumps({"pid": pid or os.getpid(), "port": port}), flush=True)


def end_with_stdin():
    def wait():
        while os.read(0, 100):
            pass
        os._exit(0)

    threading.Thread(target=wait, daemon=True, name="stdin").start()


# --- aiohttp ----------------------------------------------------------------------------------------------------------
def run_aiohttp(make_app):
    from aiohttp import web

    async def main():
        runner = web.AppRunner(make_app(), access_log=None)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        announce(runner.addresses[0][1])
        await asyncio.Event().wait()

    asyncio.run(main())


def make_shop(session_limit):
    """A shop whose visitors get a session each; `session_limit` of them are kept, all if it is 0."""
    from aiohttp import web

    @web.middleware
    async def sessions(request, handler):
        kept = request.app["sessions"]
        name = request.headers.get("X-Visitor", "unknown")
        session = kept.get(name)
        if session is None:
            session = kept[name] = {"visitor": name, "basket": [], "started": time.time()}
        if session_limit and len(kept) > session_limit:
            kept.popitem(last=False)
        request["session"] = session
        return await handler(request)

    async def show(request):
        article = int(request.match_info["article"])
        request["session"]["basket"].append({"article": article, "price": article * 1.5})
        body = {"article": article, "related": [{"id": i, "name": "article %d" % i} for i in range(20)]}
        return web.json_response(body)

    async def order(request):
        data = await request.json()
        return web.json_response({"ordered": len(data["lines"]), "total": sum(line["price"] for line in data["lines"])})

    app = web.Application(middlewares=[sessions])
    app["sessions"] = collections.OrderedDict()
    app.add_routes([web.get("/article/{article}", show), web.post("/order", order)])
    return app


def aiohttp_sessions():
    run_aiohttp(lambda: make_shop(0))


def aiohttp_healthy():
    run_aiohttp(lambda: make_shop(200))


class Audit:
    def __init__(self):
        self.requests = []

    def note(self, request):
        self.requests.append(request)


def aiohttp_requests():
    """Keeps every request object, for an audit log that nobody writes."""
    from aiohttp import web

    audit = Audit()

    @web.middleware
    async def auditing(request, handler):
        audit.note(request)
        return await handler(request)

    def make():
        async def show(request):
            return web.json_response({"article": request.match_info["article"]})

        app = web.Application(middlewares=[auditing])
        app.add_routes([web.get("/article/{article}", show)])
        return app

    run_aiohttp(make)


# --- servers of the standard library --------------------------------------------------------------------------------------
class QuietHandler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *arguments):
        pass

    def answer(self, body):
        data = json.dumps(body).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


class RememberingHandler(QuietHandler):
    visits = []

    def do_GET(self):
        self.visits.append((self.path, self.headers))
        self.answer({"path": self.path})


def serve(handler):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True, name="server").start()
    announce(server.server_address[1])
    threading.Event().wait()


def http_server_leak():
    serve(RememberingHandler)


class LoggingHandler(QuietHandler):
    def do_GET(self):
        log = request_logger("shop.requests")
        log.info("%s from %s", self.path, self.client_address)
        self.answer({"path": self.path})


def request_logger(name):
    """Adds a handler at each call: each line is written once more than the one before."""
    log = logging.getLogger(name)
    log.setLevel(logging.WARNING)
    handler = logging.StreamHandler(io.StringIO())
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
    log.addHandler(handler)
    return log


def logging_handlers():
    serve(LoggingHandler)


class Report:
    def __init__(self, path):
        self.path = path
        self.rows = [{"path": path, "number": i} for i in range(20)]

    @functools.lru_cache(maxsize=None)
    def render(self, width):
        return " ".join(str(row["number"]).rjust(width) for row in self.rows)


class ReportHandler(QuietHandler):
    def do_GET(self):
        self.answer({"report": Report(self.path).render(8)})


def lru_method():
    """A cache on a method keeps every `self`."""
    serve(ReportHandler)


class ClosingHandler(RememberingHandler):
    protocol_version = "HTTP/1.0"


def prefork():
    """Workers that share a listening socket, as gunicorn's do; each leaks what it has served."""
    server = socketserver.TCPServer(("127.0.0.1", 0), ClosingHandler)
    workers = []
    for _ in range(2):
        parent = os.getpid()
        pid = os.fork()
        if pid == 0:
            threading.Thread(target=end_with, args=(parent,), daemon=True, name="parent").start()
            server.serve_forever()
        workers.append(pid)
    announce(server.server_address[1], workers[0])
    while os.read(0, 100):
        pass


def end_with(parent):
    while os.getppid() == parent:
        time.sleep(0.1)
    os._exit(0)


def run_gunicorn(app, worker_class):
    """A master that forks one worker, which is to be hunted; both end with stdin."""
    import gunicorn.app.base

    class Application(gunicorn.app.base.BaseApplication):
        def load_config(self):
            self.cfg.set("bind", "127.0.0.1:0")
            self.cfg.set("worker_class", worker_class)
            self.cfg.set("threads", 4)
            self.cfg.set("loglevel", "critical")
            self.cfg.set("post_worker_init", started)

        def load(self):
            return app

    def started(worker):
        parent = os.getppid()
        threading.Thread(target=end_with, args=(parent,), daemon=True, name="parent").start()
        announce(worker.sockets[0].getsockname()[1])

    end_with_stdin()
    Application().run()


def flask_shop(keeps_failures):
    """A Flask application: templates, a bounded cache, sessions; one keeps the context of each request that failed."""
    import flask

    app = flask.Flask("shop")
    app.secret_key = "key"
    failures = []

    @functools.lru_cache(maxsize=64)
    def related(number):
        return [{"id": i, "name": "article %d" % i} for i in range(number % 50)]

    @app.get("/article/<int:number>")
    def article(number):
        flask.session["last"] = number
        try:
            if number % 3 == 0:
                raise LookupError(number)
        except LookupError as error:
            if keeps_failures:
                failures.append(error)
        return flask.render_template_string("<h1>{{ n }}</h1>{% for r in rows %}{{ r.name }}{% endfor %}", n=number, rows=related(number % 200))

    return app


def gunicorn_failures():
    run_gunicorn(flask_shop(True), "gthread")


def gunicorn_healthy():
    run_gunicorn(flask_shop(False), "sync")


def wsgi_healthy():
    """A WSGI application with templates, a bounded cache and cookies."""
    import string
    from wsgiref.simple_server import WSGIRequestHandler, make_server

    page = string.Template("<html><h1>$title</h1><ul>$rows</ul></html>")

    @functools.lru_cache(maxsize=64)
    def rows(number):
        return "".join("<li>row %d</li>" % i for i in range(number % 50))

    def application(environ, start_response):
        number = sum(map(ord, environ["PATH_INFO"]))
        text = page.substitute(title=environ["PATH_INFO"], rows=rows(number % 200))
        data = text.encode()
        start_response("200 OK", [("Content-Type", "text/html"), ("Content-Length", str(len(data)))])
        return [data]

    class Quiet(WSGIRequestHandler):
        def log_message(self, *arguments):
            pass

    with make_server("127.0.0.1", 0, application, handler_class=Quiet) as server:
        announce(server.server_address[1])
        server.serve_forever()


# --- asyncio ----------------------------------------------------------------------------------------------------------------
class Mailer:
    """Starts a task for each message that waits for an answer that does not come."""

    def __init__(self):
        self.pending = set()
        self.connected = asyncio.Event()

    async def deliver(self, message):
        await self.connected.wait()
        return message

    def post(self, message):
        self.pending.add(asyncio.ensure_future(self.deliver(message)))


def asyncio_tasks():
    async def main():
        mailer = Mailer()

        async def serve_lines(reader, writer):
            while True:
                line = await reader.readline()
                if not line:
                    break
                if line.startswith(b"GET"):
                    mailer.post({"line": line.decode(), "at": time.time()})
                if line == b"\r\n":
                    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
                    await writer.drain()
            writer.close()

        server = await asyncio.start_server(serve_lines, "127.0.0.1", 0)
        announce(server.sockets[0].getsockname()[1])
        await asyncio.Event().wait()

    asyncio.run(main())


def asyncio_idle():
    """A server that waits, with a heartbeat."""

    async def heartbeat(state):
        while True:
            state["beats"] += 1
            await asyncio.sleep(0.1)

    async def main():
        state = {"beats": 0}
        beating = asyncio.ensure_future(heartbeat(state))
        server = await asyncio.start_server(lambda reader, writer: None, "127.0.0.1", 0)
        announce(server.sockets[0].getsockname()[1])
        await beating

    asyncio.run(main())


# --- jobs -------------------------------------------------------------------------------------------------------------------
def sqlite_worker():
    """Takes jobs from a queue, stores them, and deletes old ones."""
    import queue
    import sqlite3

    jobs = queue.Queue(maxsize=100)

    def produce():
        number = 0
        while True:
            jobs.put(json.dumps({"number": number, "rows": [{"id": i, "text": "row %d" % i} for i in range(30)]}))
            number += 1

    threading.Thread(target=produce, daemon=True, name="producer").start()
    connection = sqlite3.connect(":memory:")
    connection.execute("create table rows (job integer, id integer, text text)")
    started = False
    while True:
        job = json.loads(jobs.get())
        connection.executemany("insert into rows values (?, ?, ?)", [(job["number"], row["id"], row["text"]) for row in job["rows"]])
        connection.execute("delete from rows where job < ?", (job["number"] - 20,))
        connection.execute("select job, count(*) from rows group by job").fetchall()
        time.sleep(0.002)
        if job["number"] == 200 and not started:
            started = True
            announce()


history = []


def numpy_views():
    """Keeps a small view of each large array, and with it the whole array."""
    import numpy

    def measure(number):
        samples = numpy.arange(20_000) * number
        history.append(samples[:10])
        return samples.mean()

    for number in range(50):
        measure(number)
    announce()
    while True:
        measure(number)
        time.sleep(0.01)


if __name__ == "__main__":
    # Where processes are forked, the program sees to it.
    if sys.argv[1] != "prefork" and not sys.argv[1].startswith("gunicorn"):
        end_with_stdin()
    globals()[sys.argv[1]]()
