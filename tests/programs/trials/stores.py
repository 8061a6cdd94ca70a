"""Leaks of backends in stores that only grow: caches, sets, arrays, lists, registries of the standard library.

`stores.py NAME [FILE]`; see trial.py.
"""

import array
import datetime
import functools
import logging
import sys
import types
import warnings

from trial import leak, main, request, serve


class Customer:
    def __init__(self, number):
        self.number = number

    @functools.cached_property
    def profile(self):
        return {"number": self.number, "name": "customer %d" % self.number}


customers = [Customer(number) for number in range(60000)]


@leak("dict", r"__main__\.customers")
def cached_properties():
    """What is computed once per long-lived object and never dropped."""
    serve(lambda number: customers[number % 60000].profile and None)


@leak("datetime.datetime", r"__main__\.seen_at$")
def datetimes():
    serve(lambda number: seen_at.add(datetime.datetime.now()))


seen_at = set()


samples = array.array("d")


@leak("array.array", r"samples")
def growing_array():
    serve(lambda number: samples.extend(range(500)) or 500)


@leak("list", r"__main__\.flags$")
def flags_of_shared_values():
    """What is appended is the same few objects: only the list itself grows."""
    serve(lambda number: flags.append(number % 2 == 0))


flags = []


@leak("logging.Logger", r"logging\.(Logger\.manager|root\.manager)\.loggerDict$")
def logger_per_request():
    serve(lambda number: logging.getLogger("request.%d" % number).debug("hello") and None)


@leak("tuple", r"__main__\.__warningregistry__$")
def warnings_registry():
    warnings.simplefilter("default")
    warnings.showwarning = lambda *arguments: None

    def handle(number):
        warnings.warn("user %d uses the old api" % number)

    serve(handle)


@leak("module", r"sys\.modules|modules")
def dynamic_modules():
    def handle(number):
        module = types.ModuleType("plugin_%d" % number)
        module.settings = {"number": number}
        sys.modules[module.__name__] = module

    serve(handle)


if __name__ == "__main__":
    main()
