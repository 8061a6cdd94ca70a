"""A program with an event loop that lets consoles in by itself; a forked child that does so, too."""
import asyncio
import json
import os
import sys
import threading

sys.path.insert(0, sys.argv[1])
import leakscope_agent  # noqa: E402

sys.path.pop(0)
path = leakscope_agent.listen()
visible = "of __main__"


class WithProperty:
    @property
    def danger(self):
        raise RuntimeError("a property was called")


with_property = WithProperty()
pipe = os.pipe()
child = os.fork()
if child == 0:
    os.close(pipe[1])
    os.read(pipe[0], 1)
    os._exit(0)


async def inner():
    await asyncio.sleep(3600)


async def outer():
    await inner()


def read():
    for line in sys.stdin:
        if line.strip() == "end":
            loop.call_soon_threadsafe(loop.stop)
            return
    os._exit(0)


loop = asyncio.new_event_loop()
asyncio.set_event_loop(loop)
tasks = [loop.create_task(outer()) for _ in range(3)]
threading.Thread(target=read, name="reader", daemon=True).start()


def ready():
    line = inner.__code__.co_firstlineno + 1
    names = sorted(task.get_name() for task in tasks)
    print(json.dumps({"pid": os.getpid(), "child": child, "path": path, "tasks": names, "line": line}), flush=True)


loop.call_soon(ready)
loop.run_forever()
os.close(pipe[1])
