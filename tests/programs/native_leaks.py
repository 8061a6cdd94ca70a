"""Loses and holds C memory and references as it is told: native_leaks.py FOLDER, with the libraries compiled there.

Prints {"pid": ...}, then answers each line of stdin, a JSON list of [command, arguments...], with one line of JSON. Addresses
are told as numbers; while a number is around, its digits are no pointer.
"""

import array
import ctypes
import gc
import json
import mmap
import os
import re
import sys
import time
import weakref

folder = sys.argv[1]
c = ctypes.PyDLL(os.path.join(folder, "native_leaks.so"))
HOLDERS = {
    "data": "hold_in_data",
    "inside": "hold_inside",
    "tagged": "hold_tagged",
    "heap": "hold_in_heap",
    "mapping": "hold_in_mapping",
    "untouched": "hold_untouched",
    "thread": "hold_by_thread",
}
for name in HOLDERS.values():
    getattr(c, name).restype = ctypes.c_size_t
    getattr(c, name).argtypes = [ctypes.c_size_t] + [ctypes.c_int] * (name in ("hold_in_mapping", "hold_by_thread"))
c.overrun.restype = ctypes.c_size_t
c.overrun.argtypes = [ctypes.c_size_t]
size_t = ctypes.c_size_t
c.lose.argtypes = [ctypes.c_int, size_t, size_t, ctypes.c_void_p]
c.lose_chain.argtypes = [size_t, size_t, ctypes.c_void_p]
c.lose_record.argtypes = [size_t, ctypes.c_void_p]
c.lose_record.restype = None
c.lose_in_threads.argtypes = [ctypes.c_int, size_t, size_t, ctypes.c_void_p]


def load_boxes():
    # Only where it is used: libstdc++ takes 72 kB that it does not clear, in which there are stale pointers.
    cpp = ctypes.PyDLL(os.path.join(folder, "native_boxes.so"))
    cpp.lose_boxes.argtypes = cpp.lose_texts.argtypes = [size_t, size_t, ctypes.c_void_p]
    return cpp


incref = ctypes.pythonapi.Py_IncRef
incref.argtypes = [ctypes.py_object]
incref.restype = None

MASK = (1 << 64) - 1


def addresses(count, call):
    hidden = (size_t * count)()
    call(ctypes.addressof(hidden))
    return [~value & MASK for value in hidden]


def lose(where, size, count):
    return addresses(count, lambda room: c.lose(where, size, count, room))


def lose_chains(size, length, count):
    chains = [addresses(length, lambda room: c.lose_chain(size, length, room)) for _ in range(count)]
    return [address for chain in chains for address in chain]


def lose_in_threads(threads, size, count):
    return addresses(threads * count, lambda room: c.lose_in_threads(threads, size, count, room))


def lose_boxes(size, count):
    cpp = load_boxes()
    return addresses(2 * count, lambda room: cpp.lose_boxes(size, count, room))


def lose_texts(size, count):
    cpp = load_boxes()
    return addresses(2 * count, lambda room: cpp.lose_texts(size, count, room))


class Plain:
    def __init__(self, number):
        self.number = number
        self.text = "plain %d" % number


number = 0
watching = weakref.WeakSet()


def make(kind):
    global number
    number += 1
    text = "lost %d " % number
    if kind == "list":
        return [text, number]
    if kind == "dict":
        return {text: number, "more": [number]}
    if kind == "bytes":
        return (text * 20).encode()
    if kind == "str":
        return text * 20
    if kind == "tuple":
        return (text, [number])
    thing = Plain(number)
    if kind == "watched":
        watching.add(thing)
    return thing


def forget_one(kind):
    thing = make(kind)
    incref(thing)
    return id(thing)


def forget(kind, count):
    """Objects whose reference was taken and never given up."""
    return [forget_one(kind) for _ in range(count)]


def make_large(kind, size):
    """Of about `size` bytes in one block, no two alike."""
    global number
    number += 1
    if kind == "bytes":
        return (b"lost %d " % number).ljust(size, b"x")
    if kind == "int":
        return (1 << (size // 4 * 30)) + number
    if kind == "ascii":
        return ("lost %d " % number).ljust(size, "x")
    character, width = {"latin": ("\xe4", 1), "wide": ("\u0416", 2), "widest": ("\U0001f600", 4)}[kind]
    return ("lost %d " % number).ljust(size // width, character)


def forget_large_one(kind, size):
    thing = make_large(kind, size)
    incref(thing)
    return id(thing)


def forget_large(kind, size, count):
    """Of types that the collector does not know, above pymalloc's 512 bytes: each in a chunk of malloc's."""
    return [forget_large_one(kind, size) for _ in range(count)]


def forget_shrunk(size, least, count):
    """bytes that were made with more room than they kept, as sockets and files make them."""
    read_end, write_end = os.pipe()
    forgotten = []
    for _ in range(count):
        os.write(write_end, b"y" * least)
        forgotten.append(forget_read(read_end, size))
    os.close(read_end)
    os.close(write_end)
    return forgotten


def forget_read(fd, size):
    thing = os.read(fd, size)
    incref(thing)
    return id(thing)


def hold_large(kind, size, count):
    """The same, with the only pointer in a list of C code."""
    forgotten = []
    for _ in range(count):
        cell = c.hold_in_heap(24)
        forgotten.append(forget_large_one(kind, size))
        ctypes.c_size_t.from_address(cell).value = forgotten[-1]
    return forgotten


def lose_like(kind, size, told, missing, count):
    """Lost blocks of C code that begin like an object of about `told` bytes, but for as many `missing` at its end."""
    thing = make_large(kind, told)
    head = ctypes.string_at(id(thing), min(size, sys.getsizeof(thing) - missing))
    blocks = lose(0, size, count)
    for block in blocks:
        ctypes.memmove(block, head, len(head))
    return blocks


kept = {}


def take_references(name, count):
    """To one object that stays alive; its address."""
    thing = kept.setdefault(name, object())
    for _ in range(count):
        incref(thing)
    return id(thing)


def hold(how, size, *rest):
    return getattr(c, HOLDERS[how])(size, *rest)


def hold_among_patterns(count):
    """A list of C code whose cells lie between compiled patterns, whose numbers reach to the end of their memory."""
    blocks = []
    for i in range(count):
        kept["pattern %d" % i] = re.compile("x" * (60 + i % 100) + str(i))
        # Many, so that some come right behind it and not from what was freed elsewhere.
        blocks += [c.hold_in_heap(24) for _ in range(20)]
    return blocks


class Holder(ctypes.Structure):
    _fields_ = [("number", ctypes.c_int), ("block", ctypes.c_void_p)]


def lose_records(size, count):
    """C memory in several blocks, that holds Python objects: four blocks, a dict with a list and what is in it."""
    for _ in range(count):
        thing = make("dict")
        incref(thing)
        c.lose_record(size, id(thing))


def forget_holders(size, count):
    """Objects with a missing Py_DECREF, which have memory of C code, and an attribute that does, too."""
    for _ in range(count):
        holder = Holder(7, libc.malloc(size))
        holder.inner = Holder(8, libc.malloc(size))
        holder.names = make("list")
        incref(holder)


def drop_cycles(size, count):
    """Cycles that wait for the collector, with memory of C code."""
    gc.disable()
    for _ in range(count):
        holder = Holder(7, libc.malloc(size))
        holder.itself = [holder, make("dict")]


libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_size_t
libc.malloc.argtypes = [ctypes.c_size_t]
libc.free.argtypes = [ctypes.c_size_t]
libc.free.restype = None


def hold_by_ctypes(size):
    """A pointer in the struct of a Python object."""
    block = libc.malloc(size)
    kept[block] = Holder(7, block)
    return block


def hold_by_array(size):
    """A pointer in the memory that an array has for itself."""
    block = libc.malloc(size)
    array = (ctypes.c_void_p * 500)()
    array[321] = block
    kept[block] = array
    return block


def hold_in_bytearray(size):
    """A pointer in a buffer of a built-in type, written by C code."""
    block = libc.malloc(size)
    buffer = bytearray(4096)
    ctypes.c_size_t.from_buffer(buffer, 64).value = block
    kept[block] = buffer
    return block


def hold_numbers(first, end, step):
    """Numbers of 64 bits as data has them: where the heap lies low, they look like pointers into it."""
    # In its place at once: what grows leaves copies behind, in memory that C code may get and not write to.
    numbers = array.array("Q", [0]) * ((end - first) // step)
    for i in range(len(numbers)):
        numbers[i] = first + i * step
    kept[first] = [numbers, numbers.tobytes(), bytearray(numbers)]
    return len(numbers)


def hold_by_garbage(size):
    """By a cycle that waits for the collector."""
    gc.disable()
    block = libc.malloc(size)
    holder = Holder(7, block)
    holder.itself = [holder]
    return block


filled = []


def fill(kind, total):
    """Puts `total` bytes, and little else, into one account."""
    if kind == "lists":
        filled.append([[None] * 12500 for _ in range(total // 100000)])
    elif kind == "bytes":
        filled.append([bytes([1]) * 100000 for _ in range(total // 100000)])
    elif kind == "large bytes":
        filled.append([bytes([1]) * 5000000 for _ in range(total // 5000000)])
    elif kind == "bytearrays":
        filled.append([bytearray([1]) * 100000 for _ in range(total // 100000)])
    elif kind == "arrays":
        filled.append([array.array("d", [1.5]) * 12500 for _ in range(total // 100000)])
    elif kind == "floats":
        filled.append([float(i) for i in range(total // 40)])
    elif kind == "shared":
        shared = mmap.mmap(-1, total)
        shared.write(b"x" * total)
        filled.append(shared)
    elif kind == "numpy":
        import numpy

        zeros = numpy.zeros(total * 10 // 8)
        zeros[: total // 8] = 1.5
        filled.append([zeros] + [zeros[i:] for i in range(100)])
    elif kind == "read zeros":
        import numpy

        zeros = numpy.zeros(total // 8)
        filled.append((zeros, float(zeros.sum())))
    elif kind == "cycles":
        gc.disable()
        for _ in range(total // 100000):
            garbage = [None] * 12500
            garbage[0] = garbage
    elif kind == "held C":
        for _ in range(total // 100000):
            c.hold_in_heap(100000 - 40)
    elif kind == "lost C":
        lose(0, 100000 - 16, total // 100000)
    elif kind == "freed below":
        # Blocks between survivors that are as small as possible.
        blocks = [(libc.malloc(10000), libc.malloc(24)) for _ in range(total // 10000)]
        for block, _ in blocks:
            ctypes.memset(block, 1, 10000)
        for block, _ in blocks:
            libc.free(block)
    elif kind == "freed pools":
        made = [bytes([1]) * (240 - sys.getsizeof(b"")) for _ in range(total // 240)]
        filled.append(made[::500])
    return os.getpid()


def trim():
    """What malloc_trim(0) returns to the kernel, in bytes of the resident set."""
    gc.collect()
    before = resident()
    libc.malloc_trim(0)
    return before - resident()


def resident():
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * 4096


def fill_in_threads(threads, total):
    """Freed by threads in their own arenas, below survivors."""
    import threading

    ready = threading.Barrier(threads + 1)

    def work():
        blocks = [(libc.malloc(10000), libc.malloc(24)) for _ in range(total // threads // 10000)]
        for block, _ in blocks:
            ctypes.memset(block, 1, 10000)
        for block, _ in blocks:
            libc.free(block)
        ready.wait()
        time.sleep(1000)

    for _ in range(threads):
        threading.Thread(target=work, daemon=True).start()
    ready.wait()


def fork_workers(count):
    """Pids of children that share memory with this process, and have changed some of it."""
    table = [str(i) * 10 for i in range(100000)]
    filled.append(table)
    pids = []
    for _ in range(count):
        read_end, write_end = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(read_end)
            own = [text + "!" for text in table[:20000]]
            os.write(write_end, b"x")
            time.sleep(60 + len(own) % 2)
            os._exit(0)
        os.read(read_end, 1)
        pids.append(pid)
    return pids


def run_subinterpreter(stays):
    for name in ("_interpreters", "_xxsubinterpreters"):
        try:
            module = __import__(name)
        except ImportError:
            continue
        made = module.create()
        if stays:
            # It ends with its id.
            kept["interpreter"] = made
        module.run_string(made, "kept = [[None] * 12500 for _ in range(100)]")
        return True
    return False


def overrun(size):
    return c.overrun(size)


print(json.dumps({"pid": os.getpid()}), flush=True)
for line in sys.stdin:
    command, *arguments = json.loads(line)
    if command == "exit":
        break
    answer = globals()[command](*arguments)
    if gc.isenabled():
        gc.collect()
    print(json.dumps(answer), flush=True)
