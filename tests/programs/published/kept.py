"""Cycles that the collector cannot see through, and a set that nothing is taken out of. See run.py."""

from leaks import Tag, leak


@leak
def context_cycle():
    """gh-155515: the collector does not know iterators of contexts; a cycle through one stays."""
    import contextvars

    variable = contextvars.ContextVar("variable")

    def run():
        context = contextvars.copy_context()
        held = [Tag()]
        context.run(variable.set, held)
        held.append(iter(context.items()))

    return run


@leak
def threads_not_joined():
    """bpo-37788: a lock stays in threading._shutdown_locks of each thread that nobody joins."""
    import threading
    import time

    def run():
        thread = threading.Thread(target=int)
        thread.start()
        while thread in threading.enumerate():
            time.sleep(0)

    return run


class Name(str):
    pass


@leak
def type_variable_cycle():
    """gh-140000: the collector does not know a TypeVar's reference to its name; a cycle through it stays."""
    import typing

    def run():
        name = Name("T%d" % id(object()))
        name.variable = typing.TypeVar(name)

    return run


class Inline:
    pass


@leak
def instance_dict_cycle():
    """gh-133543: the collector does not know an instance's dict that was asked for while it had nothing to track."""

    def run():
        made = Inline()
        made.__dict__
        made.itself = made
        for number in range(29):
            setattr(made, "attribute_%d" % number, None)

    return run


@leak
def preshared_key_cycle():
    """gh-142516: the collector does not know the callbacks of pre-shared keys; a cycle through one stays."""
    import ssl

    def run():
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)

        def callback(hint, context=context):
            return None

        context.set_psk_client_callback(callback)

    return run
