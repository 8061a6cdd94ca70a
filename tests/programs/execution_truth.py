"""Makes asyncio tasks in two loops, or threads, prints what they are doing as one line of JSON, and stands still.

Arguments: `tasks` [N: more tasks that wait in one queue], `running` (the main task itself stands still), `threads` [depth].
"""
import asyncio
import json
import os
import socket
import sys
import threading
import time


def chain_of(coro):
    """[function, line] of a suspended coroutine and of what it awaits, as far as Python shows it."""
    rows = []
    while coro is not None:
        for prefix in ("cr", "gi", "ag"):
            frame = getattr(coro, prefix + "_frame", None)
            if frame is not None:
                break
        else:
            break
        rows.append([coro.__qualname__, frame.f_lineno])
        coro = getattr(coro, prefix + ("_yieldfrom" if prefix == "gi" else "_await"), None)
    return rows


def describe_task(task):
    return {
        "address": id(task),
        "name": task.get_name(),
        "done": task.done(),
        "cancelled": task.cancelled(),
        "coroutine": getattr(task.get_coro(), "__qualname__", ""),
        "loop": id(task._loop),
        "chain": chain_of(task.get_coro()),
    }


class Job(asyncio.Task):
    """A subclass of a task."""


class PlainTask(getattr(asyncio.tasks, "_PyTask", asyncio.Task)):
    """A task without C code."""


async def wait_in_queue(queue):
    return await queue.get()


async def wait_for_lock(lock):
    async with lock:
        pass


async def wait_for_event(event):
    await event.wait()


async def deep(n, event):
    if n == 0:
        await event.wait()
    else:
        await deep(n - 1, event)


async def numbers(event):
    yield 1
    await event.wait()
    yield 2


async def wait_in_generator(event):
    async for _number in numbers(event):
        pass


async def wait_in_comprehension(event):
    return [number async for number in numbers(event)]


class Awaitable:
    def __init__(self, inner):
        self.inner = inner

    def __await__(self):
        result = yield from self.inner.__await__()
        return result


async def wait_for_own(event):
    await Awaitable(wait_for_event(event))


async def wait_for_plain(future):
    await future


async def wait_for_socket(loop, sock):
    await loop.sock_recv(sock, 10)


async def wait_for_line(reader):
    await reader.readline()


async def wait_with_limit(queue):
    await asyncio.wait_for(queue.get(), 1000)


async def gather_two(event):
    await asyncio.gather(wait_for_event(event), wait_for_event(event))


async def wait_for_both(event):
    tasks = [asyncio.ensure_future(wait_for_event(event)) for _ in range(2)]
    await asyncio.wait(tasks)


async def wait_for_task(task):
    await task


async def in_group(event):
    async with asyncio.TaskGroup() as group:
        group.create_task(wait_for_event(event))
        group.create_task(wait_for_event(event))


async def fail():
    raise KeyError("expected")


async def end():
    return 7


kept = []


async def make_tasks(more):
    loop = asyncio.get_running_loop()
    event, queue, lock = asyncio.Event(), asyncio.Queue(), asyncio.Lock()
    await lock.acquire()
    mine, theirs = socket.socketpair()
    mine.setblocking(False)
    other, end_of_other = socket.socketpair()
    reader, writer = await asyncio.open_connection(sock=other)
    create = loop.create_task
    tasks = [
        loop.create_task(wait_in_queue(queue), name="named"),
        create(wait_for_lock(lock)),
        create(wait_for_event(event)),
        create(asyncio.sleep(1000)),
        create(deep(30, event)),
        create(wait_in_generator(event)),
        create(wait_in_comprehension(event)),
        create(wait_for_own(event)),
        create(wait_for_plain(loop.create_future())),
        create(wait_for_socket(loop, mine)),
        create(wait_for_line(reader)),
        create(wait_with_limit(queue)),
        create(gather_two(event)),
        create(wait_for_both(event)),
        Job(wait_for_event(event), loop=loop),
        PlainTask(wait_for_event(event), loop=loop),
    ]
    tasks.append(create(wait_for_task(tasks[0])))
    if hasattr(asyncio, "TaskGroup"):
        tasks.append(create(in_group(event)))
    ended = [create(end()), create(fail()), create(wait_for_event(event))]
    tasks += [create(wait_in_queue(queue)) for _ in range(more)]
    for _ in range(8):
        await asyncio.sleep(0)
    ended[2].cancel()
    for _ in range(3):
        await asyncio.sleep(0)
    # It begins after this function has told.
    loop.call_soon(tell, loop, tasks, ended)
    tasks.append(create(wait_for_event(event)))
    kept.extend([tasks, ended, mine, theirs, writer, end_of_other, queue, lock])
    await event.wait()


other_loop = None
other_ready = threading.Event()


async def in_other_thread():
    global other_loop
    other_loop = asyncio.get_running_loop()
    event = asyncio.Event()
    kept.append(asyncio.ensure_future(wait_for_event(event)))
    other_loop.call_later(0.05, other_ready.set)
    await event.wait()


def tell(loop, made, ended):
    other_ready.wait()
    # Since 3.14 asyncio does not list tasks without C code that were made by hand.
    plain = {task for task in made if isinstance(task, PlainTask)}
    tasks = list(asyncio.all_tasks(loop) | asyncio.all_tasks(other_loop) | plain)
    facts = {
        "tasks": [describe_task(task) for task in tasks],
        "ended": [describe_task(task) for task in ended],
        "loops": [id(loop), id(other_loop)],
        "file": __file__,
    }
    del tasks, plain
    os.write(1, (json.dumps(facts) + "\n").encode())
    os.read(0, 1)
    os._exit(0)


async def stand_still():
    task = asyncio.current_task()
    facts = {"address": id(task), "line": sys._getframe().f_lineno + 2}
    os.write(1, (json.dumps(facts) + "\n").encode())
    os.read(0, 1)


async def run_stand_still():
    await stand_still()


# --- Threads ------------------------------------------------------------------------------------------------------------

begun = []


def frames_of(frame):
    rows = []
    while frame is not None:
        names = sorted(k for k in frame.f_locals if not k.startswith(".")) if frame.f_code.co_flags & 2 else []
        rows.append([frame.f_code.co_name, frame.f_code.co_filename, frame.f_lineno, names])
        frame = frame.f_back
    return rows[::-1]


def sleeper(text):
    begun.append(text)
    time.sleep(1000)


def locker(lock, number=3):
    begun.append(number)
    lock.acquire()


def reader(pipe):
    value = [1, 2, 3]

    def inner():
        begun.append(value)
        return os.read(pipe, 1)

    return inner()


def recurse(n, lock):
    if n == 0:
        begun.append(n)
        lock.acquire()
    else:
        recurse(n - 1, lock)


def spin():
    begun.append(None)
    while True:
        pass


def stands_at_its_end(ident):
    frame = sys._current_frames()[ident]
    with open(frame.f_code.co_filename) as file:
        line = file.read().split("\n")[frame.f_lineno - 1]
    return any(call in line for call in ("time.sleep(1000)", "lock.acquire()", "os.read(pipe"))


def stacks(depth, *more):
    sys.setrecursionlimit(depth + 1000)
    threading.stack_size(256 << 20)
    lock = threading.Lock()
    lock.acquire()
    pipe, end_of_pipe = os.pipe()
    threads = [
        threading.Thread(target=sleeper, args=("a text",), name="sleeps", daemon=True),
        threading.Thread(target=locker, args=(lock,), name="locks", daemon=True),
        threading.Thread(target=reader, args=(pipe,), name="reads \x1b[31m", daemon=True),
        threading.Thread(target=recurse, args=(depth, lock), name="deep", daemon=True),
    ]
    for thread in threads:
        thread.start()
    while len(begun) < len(threads):
        time.sleep(0.001)
    # Of what they call next they have to be in the line.
    while not all(stands_at_its_end(thread.ident) for thread in threads):
        time.sleep(0.001)
    if "spin" in more:
        threading.Thread(target=spin, name="spins", daemon=True).start()
    facts = {
        "threads": [
            {
                "name": thread.name,
                "native": thread.native_id,
                "ident": thread.ident,
                "daemon": thread.daemon,
                "frames": frames_of(sys._current_frames()[thread.ident]),
            }
            for thread in threads
        ],
        "main": {"native": threading.get_native_id(), "ident": threading.get_ident()},
    }
    os.write(1, (json.dumps(facts) + "\n").encode())
    os.read(0, 1)
    os.close(end_of_pipe)
    os._exit(0)


mode = sys.argv[1]
if mode == "threads":
    stacks(int(sys.argv[2]), *sys.argv[3:])
elif mode == "running":
    asyncio.run(run_stand_still())
else:
    threading.Thread(target=lambda: asyncio.run(in_other_thread()), name="second", daemon=True).start()
    asyncio.run(make_tasks(int(sys.argv[2]) if len(sys.argv) > 2 else 0))
