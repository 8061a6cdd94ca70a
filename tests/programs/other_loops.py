"""A program on gevent, eventlet or uvloop (first argument), busy or idle (second). A line on stdin makes the busy ones end."""
import json
import os
import sys

KIND, STATE = sys.argv[1:]
if KIND == "gevent":
    from gevent import monkey

    monkey.patch_all()
elif KIND == "eventlet":
    import warnings

    warnings.simplefilter("ignore")
    import eventlet

    eventlet.monkey_patch()
import time  # noqa: E402

ticks = [0]


def ready():
    os.write(1, (json.dumps({"pid": os.getpid()}) + "\n").encode())


def cooperative(spawn):
    def tick():
        while True:
            time.sleep(0.02)
            ticks[0] += 1

    if STATE == "busy":
        spawn(tick)
    ready()
    time.sleep(3600)


def uvloop_program():
    import asyncio

    import uvloop

    async def main():
        ready()
        while True:
            await asyncio.sleep(0.02 if STATE == "busy" else 3600)
            ticks[0] += 1

    uvloop.run(main())


if KIND == "uvloop":
    uvloop_program()
elif KIND == "gevent":
    import gevent

    cooperative(gevent.spawn)
else:
    cooperative(eventlet.spawn)
