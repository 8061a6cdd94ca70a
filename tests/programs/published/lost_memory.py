"""Blocks of C code that are forgotten, mostly by a second __init__. See run.py."""

import warnings

from leaks import leak


@leak
def array_of_empty_text():
    """gh-140474: a buffer of one wchar_t is not freed."""
    import array

    warnings.simplefilter("ignore")
    return lambda: array.array("u", "")


@leak
def ssl_session():
    """gh-116810: a copy of OpenSSL's session is made and forgotten."""
    import ssl

    def context(protocol):
        made = ssl.SSLContext(protocol)
        if protocol == ssl.PROTOCOL_TLS_CLIENT:
            made.check_hostname = False
            made.verify_mode = ssl.CERT_NONE
        made.maximum_version = ssl.TLSVersion.TLSv1_2
        # Without certificates.
        made.set_ciphers("AECDH-AES128-SHA:@SECLEVEL=0")
        return made

    here, there = ssl.MemoryBIO(), ssl.MemoryBIO()
    server = context(ssl.PROTOCOL_TLS_SERVER).wrap_bio(here, there, server_side=True)
    client = context(ssl.PROTOCOL_TLS_CLIENT).wrap_bio(there, here)
    for _ in range(4):
        for side in (client, server):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                pass

    def run():
        assert client.session is not None, server

    return run


@leak
def match_interrupted():
    """gh-67877: a match that a signal handler ends leaks its memory."""
    import re
    import signal

    class Stop(Exception):
        pass

    def stop(*_):
        raise Stop

    signal.signal(signal.SIGALRM, stop)
    pattern, text = re.compile(r"(?:(?:x|y)*)*z"), "xy" * 15000

    def run():
        try:
            signal.setitimer(signal.ITIMER_REAL, 0.001)
            pattern.match(text)
            raise AssertionError("the match was not interrupted")
        except Stop:
            pass

    return run


@leak
def bz2_decompressor_again():
    """bpo-23224: the same in the decompressor."""
    import bz2

    decompressor = bz2.BZ2Decompressor()
    return lambda: decompressor.__init__()


@leak
def profiler_cleared():
    """gh-145846: clear() within nested calls frees the innermost context only."""
    import _lsprof

    def run():
        profiler = _lsprof.Profiler()

        def nested(depth):
            if depth:
                nested(depth - 1)
            else:
                profiler.clear()

        profiler.enable()
        nested(10)
        profiler.disable()
        profiler.clear()

    return run


@leak
def element_again():
    """gh-153537: Element.__init__ forgets the attributes and children of the call before."""
    from _elementtree import Element

    element = Element("root")
    return lambda: element.__init__("root", {"key": "value"})


@leak
def element_with_children_again():
    """gh-153537: the same with a child."""
    from _elementtree import Element, SubElement

    element = Element("root")

    def run():
        element.__init__("root", {"key": "value"})
        SubElement(element, "child")

    return run
