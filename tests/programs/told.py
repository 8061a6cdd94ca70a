"""A program that does what each line on its stdin says, an expression, and prints what that gives as JSON. It can fork, redirect
its output, and count the boxes that are left of it; it never runs the collector."""
import contextlib
import gc
import io
import json
import logging
import os
import signal
import sys
import threading
import time
import weakref

gc.disable()
answers = os.fdopen(os.dup(1), "w")
go_on = False
given = None
stack = contextlib.ExitStack()
boxes = weakref.WeakSet()


class Box:
    def __init__(self):
        boxes.add(self)


def streams():
    return {
        "own": [sys.stdout is sys.__stdout__, sys.stderr is sys.__stderr__],
        "text": isinstance(sys.stdout, io.TextIOBase),
        "modules": [name for name in sys.modules if "leakscope_agent" in name],
        "logging": logging.Logger.callHandlers.__module__,
        "sockets": len([fd for fd in os.listdir("/proc/self/fd") if is_socket(fd)]),
        "threads": sorted(thread.name for thread in threading.enumerate()),
    }


def is_socket(fd):
    try:
        return os.readlink("/proc/self/fd/" + fd).startswith("socket:")
    except OSError:
        return False


def fork():
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writer, json.dumps(streams()).encode())
        os._exit(0)
    os.close(writer)
    with open(reader) as told:
        answer = json.loads(told.read())
    os.waitpid(child, 0)
    return answer


def redirect():
    return stack.enter_context(contextlib.redirect_stdout(io.StringIO())) is not None


def say(text):
    """Where it went: into a redirection, or to stdout, whose lines stand between the answers."""
    target = sys.stdout
    print(json.dumps(text), flush=True)
    return target.getvalue() if hasattr(target, "getvalue") else "stdout"


def release():
    global go_on
    go_on = True
    return True


def answer():
    for line in os.fdopen(os.dup(0)):
        answers.write(json.dumps(eval(line)) + "\n")
        answers.flush()
    os._exit(0)


if "pipe" in sys.argv:
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
answers.write("{}\n")
answers.flush()
threading.Thread(target=answer, name="answers", daemon=True).start()
while True:
    time.sleep(0.005)
