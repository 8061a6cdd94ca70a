"""Leaks of backends by what refers to what: callbacks, weak keys, finalizers, wrappers, defaults, mocks.

`references.py NAME [FILE]`; see trial.py.
"""

import contextlib
import functools
import itertools
import unittest.mock
import weakref

from trial import leak, main, request, serve


class Signal:
    def __init__(self):
        self.receivers = []

    def connect(self, receiver):
        self.receivers.append(receiver)


order_saved = Signal()


@leak("function", r"__main__\.order_saved\.receivers$")
def signal_closures():
    def handle(number):
        order = {"number": number, "lines": list(range(number, number + 5))}
        order_saved.connect(lambda sender: order["number"])

    serve(handle)


class Connection:
    def __init__(self, number):
        self.number = number


sessions_by_key = weakref.WeakKeyDictionary()


class Key:
    pass


@leak("__main__.Key", r"__main__\.sessions_by_key\.data$")
def weak_key_holds_itself():
    def handle(number):
        key = Key()
        sessions_by_key[key] = {"key": key, "number": number}

    serve(handle)


kept = []


@leak("__main__.Connection", r"__main__\.kept$")
def finalizers():
    def handle(number):
        connection = Connection(number)
        weakref.finalize(connection, print, "closed", number)
        kept.append(connection)

    serve(handle)


def wrap(handler, number):
    @functools.wraps(handler)
    def wrapped(*arguments):
        return handler(*arguments), number
    return wrapped


class App:
    handler = staticmethod(request)


@leak("function", r"App")
def wrapped_again():
    """Middleware that is installed at each request: a chain of closures."""
    def handle(number):
        App.handler = staticmethod(wrap(App.__dict__["handler"].__func__, number))

    serve(handle)


def collect(row, seen=[]):
    seen.append({"row": row})
    return len(seen)


@leak("dict", r"collect")
def default_argument():
    serve(lambda number: collect(number) and None)


@leak("unittest.mock._Call", r"mock_calls")
def mock_calls():
    client = unittest.mock.Mock()
    serve(lambda number: client.get(number) and None)


@leak("itertools._tee_dataobject", r"__main__\.audit<dataobj>$")
def tee_behind():
    """One of two iterators is never read on; what is between them is kept, 57 in each object."""
    global audit
    live, audit = itertools.tee({"event": number} for number in itertools.count())
    next(audit)

    def handle(number):
        for _ in range(10):
            next(live)
        return (number + 1) * 10 // 57 - number * 10 // 57

    serve(handle)


class Resource:
    def __enter__(self):
        return self

    def __exit__(self, *error):
        return False


class Worker:
    def __init__(self):
        self.resources = contextlib.ExitStack()

    def run(self):
        self.resources.enter_context(Resource())


@leak("__main__.Resource", r"worker.*\.resources\._exit_callbacks$")
def exit_stack():
    worker = Worker()
    serve(lambda number: worker.run())


class Poller:
    last_error = None


@leak("ConnectionError", r"poller.*\.last_error$")
def errors_chained():
    poller = Poller()

    def handle(number):
        try:
            raise ConnectionError("attempt %d" % number)
        except ConnectionError as error:
            error.__cause__ = poller.last_error
            poller.last_error = error

    serve(handle)


if __name__ == "__main__":
    main()
