"""A program that consoles come into. Its first argument says what its main thread does; a line on stdin makes it print, as
JSON, what must be as before: the names of __main__, its streams, its threads, and that it still works."""
import json
import os
import signal
import sys
import threading
import time

MODE = sys.argv[1]
WAITING = ("sleeping", "idle", "ignoring", "interruptible")
results = []
work = [0]


def tick():
    while True:
        time.sleep(0.02)
        work[0] += 1


def burn():
    value = 0
    while True:
        value = (value * 31 + 7) % 1000003
        assert 0 <= value < 1000003
        work[0] += 1


def answer():
    # The descriptor: a command must not reach it through sys.stdin, nor these lines go through sys.stdout.
    for line in os.fdopen(os.dup(0)):
        if MODE == "forked":
            continue
        if line.strip() == "work":
            wake()
        before = work[0]
        time.sleep(0.1)
        # On a busy machine its other threads may need longer.
        for _ in range(0 if MODE in WAITING else 50):
            if work[0] > before:
                break
            time.sleep(0.1)
        state = {
            "names": sorted(name for name in globals() if name not in ("loop",)),
            "stdout": sys.stdout is sys.__stdout__ and sys.stderr is sys.__stderr__,
            "threads": len(os.listdir("/proc/self/task")),
            # The stand-ins of sys.stdout stay: print() of another thread may use one for any time.
            "modules": [name for name in sys.modules if "leakscope" in name and "_streams_" not in name],
            "works": work[0] > before or MODE in WAITING,
            "results": results,
            "logging": has_own_logging(),
            "handlers": [identity(signal.getsignal(number)) for number in (signal.SIGINT, signal.SIGRTMAX)],
        }
        os.write(1, (json.dumps(state) + "\n").encode())
    os._exit(0)


def identity(handler):
    """Type and address: the repr of asyncio's handler tells what its task waits for just now."""
    return f"{type(handler).__name__} at {id(handler):#x}"


def has_own_logging():
    logging = sys.modules.get("logging")
    return logging is None or logging.Logger.callHandlers.__module__ == "logging"


def wake():
    if MODE == "idle":
        loop.call_soon_threadsafe(lambda: None)


def ready():
    os.write(1, (json.dumps({"pid": os.getpid()}) + "\n").encode())


def cpu():
    ready()
    burn()


def load():
    for _ in range(3):
        threading.Thread(target=burn, daemon=True).start()
    ready()
    burn()


def sleeping():
    ready()
    time.sleep(3600)


def ignoring():
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    ready()
    time.sleep(3600)


def interruptible():
    """Sleeps, and notes each Ctrl-C in both ways in which Python tells of one."""
    import socket

    reader, writer = socket.socketpair()
    writer.setblocking(False)
    signal.set_wakeup_fd(writer.fileno())

    def listen():
        while True:
            results.extend("wakeup %d" % number for number in reader.recv(1))

    threading.Thread(target=listen, daemon=True).start()
    ready()
    while True:
        try:
            time.sleep(3600)
        except KeyboardInterrupt:
            results.append("KeyboardInterrupt")


def joined():
    thread = threading.Thread(target=tick, daemon=True)
    thread.start()
    ready()
    thread.join()


def printing():
    import logging  # noqa: F401

    number = 0
    ready()
    while True:
        # One write: lines of the thread that answers must not come into the middle of it.
        sys.stdout.write("app %d\n" % number)
        sys.stdout.flush()
        number += 1
        work[0] += 1
        time.sleep(0.02)


def event_loop(idle):
    import asyncio

    async def waits():
        await asyncio.sleep(3600)

    async def main():
        global loop
        loop = asyncio.get_running_loop()
        tasks = [asyncio.ensure_future(waits()) for _ in range(3)]
        ready()
        while True:
            await asyncio.sleep(3600 if idle else 0.02)
            work[0] += 1

    asyncio.run(main())


def serving():
    import asyncio

    async def answer_request(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello")
        await writer.drain()
        writer.close()

    async def main():
        server = await asyncio.start_server(answer_request, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        os.write(1, (json.dumps({"pid": os.getpid(), "port": port}) + "\n").encode())
        await asyncio.sleep(3600)

    asyncio.run(main())


def forked():
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        # Ends with its parent.
        os.close(writer)
        threading.Thread(target=lambda: (os.read(reader, 1), os._exit(0)), daemon=True).start()
        ready()
        tick()
    os.waitpid(child, 0)


threading.Thread(target=answer, daemon=True).start()
{
    "cpu": cpu,
    "load": load,
    "sleeping": sleeping,
    "joined": joined,
    "printing": printing,
    "idle": lambda: event_loop(True),
    "asyncio": lambda: event_loop(False),
    "forked": forked,
    "serving": serving,
    "ignoring": ignoring,
    "interruptible": interruptible,
}[MODE]()
