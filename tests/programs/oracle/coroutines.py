"""Generators, coroutines, frames, tasks and futures, contexts. See run.py."""

import asyncio
import contextvars
import gc
import sys
import types

from made import VERSION, add, made

# ---- generators and coroutines

def generator(first, second=None):
    local = [first]
    for item in [1, 2, 3]:
        yield (local, item)
    unreached = 1
    return unreached


def delegating():
    mine = ["delegating"]
    yield from generator(mine)


def with_cell():
    value = [1]
    yield lambda: value


def handling():
    try:
        raise ValueError("inside")
    except ValueError as inner_error:
        yield inner_error


add("generator not started", generator([1]))
suspended = add("generator suspended", generator([2]))
next(suspended)
add("generator delegating", delegating())
next(made[-1][1])
add("generator with cell", with_cell())
next(made[-1][1])
add("generator in except", handling())
next(made[-1][1])
finished = add("generator finished", generator([3]))
list(finished)
add("generator expression", (x for x in [[1], [2]]))
next(made[-1][1])
framed = add("generator with frame object", generator([4]))
next(framed)
framed.gi_frame.f_locals
add("its frame", framed.gi_frame)


@types.coroutine
def stop():
    yield "stopped"


async def coroutine(argument):
    local = [argument]
    await stop()
    return local


async def awaiting(argument):
    await coroutine(argument)


async def async_generator():
    local = ["async"]
    yield local
    await stop()
    yield local


started = add("coroutine not started", coroutine([1]))
waiting = add("coroutine suspended", coroutine([2]))
waiting.send(None)
nested = add("coroutine nested", awaiting([3]))
nested.send(None)
add("coroutine awaited", nested.cr_await)
add("coroutine wrapper", coroutine([5]).__await__())
agen = add("async generator", async_generator())
asend = add("asend", agen.asend(None))
try:
    asend.send(None)
except StopIteration:
    pass
second = add("asend suspended", agen.asend([7]))
second.send(None)
add("athrow", async_generator().athrow(ValueError("x")))
add("aclose", async_generator().aclose())
add("agen not started", async_generator())
if VERSION >= (3, 10):
    async def main_anext():
        return anext(async_generator(), [1])

    try:
        main_anext().send(None)
    except StopIteration as stopped:
        add("anext_awaitable", stopped.value)


def current_frame():
    local = ["of frame"]
    return sys._getframe()


frame = add("frame of finished function", current_frame())
if VERSION >= (3, 13):
    add("FrameLocalsProxy", frame.f_locals)


# ---- asyncio and context variables

variable = add("ContextVar", contextvars.ContextVar("variable", default=[1]))
token = add("Token", variable.set([2]))
variables = [contextvars.ContextVar("v%d" % i) for i in range(60)]
for i, each in enumerate(variables):
    each.set([i])
context = add("Context", contextvars.copy_context())
add("Context empty", contextvars.Context())


def add_hamt(node):
    for referent in gc.get_referents(node):
        if "hamt" in type(referent).__name__:
            add(type(referent).__name__, referent)
            add_hamt(referent)


add_hamt(context)


class SameHash(contextvars.ContextVar if False else object):
    pass


async def waits_for(future):
    local = ["task local"]
    await future
    return local


loop = asyncio.new_event_loop()
future = add("Future pending", loop.create_future())
done_future = add("Future done", loop.create_future())
done_future.set_result([1])
failed = add("Future failed", loop.create_future())
failed.set_exception(ValueError("x"))
failed.exception()
cancelled = add("Future cancelled", loop.create_future())
cancelled.cancel()
future.add_done_callback(print)
future.add_done_callback(len)
task = add("Task", loop.create_task(waits_for(future)))
named = add("Task not started", loop.create_task(waits_for(done_future)))
if VERSION >= (3, 8):
    named.set_name("a name")


async def run_a_little():
    await asyncio.sleep(0)
    await asyncio.sleep(0)


loop.run_until_complete(run_a_little())
unstarted = add("Task never run", loop.create_task(waits_for(loop.create_future())))
add("gather", asyncio.gather(task, return_exceptions=True) if VERSION < (3, 10) else None)
add("FutureIter", iter(future.__await__()))
for callback in gc.get_referents(future) + gc.get_referents(unstarted):
    add("callback of future", callback)
handles = list(loop._ready)
for handle in handles:
    add("Handle", handle)
    add("callback of handle", handle._callback)
add("event loop", loop)
add("Event", asyncio.Event())
