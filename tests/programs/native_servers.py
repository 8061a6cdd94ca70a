"""Web servers with an extension in C: native_servers.py flask|flask_threads|aiohttp. Prints {"pid", "port"}; ends with stdin.

GET /article/N and POST /order are healthy. GET /thumbnail/N calls c_losses, which loses two blocks each time, of 2000 and
of 300 bytes. GET /title/N makes a `bytes` of 533 bytes that is never given up. GET /counted tells what c_losses counted.
"""

import json
import os
import sys
import threading

import c_losses


def announce(port):
    print(json.dumps({"pid": os.getpid(), "port": port}), flush=True)


def end_with_stdin():
    while os.read(0, 100):
        pass
    os._exit(0)


def describe(number):
    return {"article": number, "related": [{"id": i, "name": "article %d" % i} for i in range(20)]}


def make_thumbnail(number):
    c_losses.lose(2000)
    c_losses.lose(300)
    return {"thumbnail": number}


def make_title(number):
    c_losses.forget_bytes()
    return {"title": number}


def flask_app():
    import flask

    app = flask.Flask("shop")
    app.secret_key = "key"
    visitors = {}

    @app.get("/article/<int:number>")
    def article(number):
        visitors[number % 100] = flask.request.headers.get("X-Visitor")
        flask.session["last"] = number
        return flask.jsonify(describe(number))

    @app.post("/order")
    def order():
        lines = flask.request.get_json()["lines"]
        return flask.jsonify(total=sum(line["price"] for line in lines))

    @app.get("/thumbnail/<int:number>")
    def thumbnail(number):
        return flask.jsonify(make_thumbnail(number))

    @app.get("/title/<int:number>")
    def title(number):
        return flask.jsonify(make_title(number))

    @app.get("/counted")
    def counted():
        return flask.jsonify(c_losses.counted())

    return app


def flask_server(threaded=False):
    """One request at a time, as a sync worker of gunicorn; or a thread for each connection."""
    from werkzeug.serving import WSGIRequestHandler, make_server

    class Handler(WSGIRequestHandler):
        protocol_version = "HTTP/1.1"

        def log(self, *arguments):
            pass

    server = make_server("127.0.0.1", 0, flask_app(), threaded=threaded, request_handler=Handler)
    announce(server.server_port)
    server.serve_forever()


def aiohttp_server():
    import asyncio

    from aiohttp import web

    async def article(request):
        return web.json_response(describe(int(request.match_info["number"])))

    async def order(request):
        lines = (await request.json())["lines"]
        return web.json_response({"total": sum(line["price"] for line in lines)})

    async def thumbnail(request):
        return web.json_response(make_thumbnail(int(request.match_info["number"])))

    async def title(request):
        return web.json_response(make_title(int(request.match_info["number"])))

    async def counted(request):
        return web.json_response(c_losses.counted())

    async def main():
        app = web.Application()
        app.add_routes(
            [
                web.get("/article/{number}", article),
                web.post("/order", order),
                web.get("/thumbnail/{number}", thumbnail),
                web.get("/title/{number}", title),
                web.get("/counted", counted),
            ]
        )
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        announce(runner.addresses[0][1])
        await asyncio.Event().wait()

    asyncio.run(main())


threading.Thread(target=end_with_stdin, daemon=True).start()
SERVERS = {
    "flask": flask_server,
    "flask_threads": lambda: flask_server(threaded=True),
    "aiohttp": aiohttp_server,
}
SERVERS[sys.argv[1]]()
