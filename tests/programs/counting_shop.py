"""A server of aiohttp that prints a line for each request it has answered: `served 0`, `served 1`, ... The first line is JSON:
{"pid", "port"}. Its event loop is `__main__.loop`. Ends with stdin."""
import asyncio
import itertools
import json
import os
import threading

from aiohttp import web

numbers = itertools.count()
loop = None


async def article(request):
    await asyncio.sleep(0.005)
    print("served %d" % next(numbers), flush=True)
    return web.json_response({"article": int(request.match_info["number"])})


async def order(request):
    lines = (await request.json())["lines"]
    print("served %d" % next(numbers), flush=True)
    return web.json_response({"total": sum(line["price"] for line in lines)})


async def main():
    global loop
    loop = asyncio.get_running_loop()
    app = web.Application()
    app.add_routes([web.get("/article/{number}", article), web.post("/order", order)])
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    print(json.dumps({"pid": os.getpid(), "port": runner.addresses[0][1]}), flush=True)
    await asyncio.Event().wait()


def end_with_stdin():
    while os.read(0, 100):
        pass
    os._exit(0)


threading.Thread(target=end_with_stdin, daemon=True).start()
asyncio.run(main())
