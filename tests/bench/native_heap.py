"""A service with about MB megabytes of Python objects that loses blocks of C memory.

native_heap.py MB LOST REQUESTS [live]: answers REQUESTS requests (parses and writes JSON), loses LOST blocks of 100 bytes and
LOST / 100 of 50 kB through the C library. Prints one JSON line when done, with its time; with `live` it then waits for the
end of stdin.
"""
import ctypes
import gc
import json
import sys
import time


def build(megabytes):
    # A turn is about 1 kB.
    return [{'id': i + 1000, 'name': 'name-%d' % i, 'parts': [str(i + part) for part in range(8)]} for i in range(megabytes * 1000)]


def work(requests):
    text = json.dumps(DATA[:20])
    for _ in range(requests):
        json.dumps(json.loads(text))


def lose(count):
    libc = ctypes.CDLL(None)
    libc.malloc.restype = ctypes.c_void_p
    libc.memset.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_size_t]
    for size, blocks in ((100, count), (50_000, count // 100)):
        for _ in range(blocks):
            libc.memset(libc.malloc(ctypes.c_size_t(size)), 0x5A, size)


if __name__ == '__main__':
    started = time.perf_counter()
    gc.disable()
    DATA = build(int(sys.argv[1]))
    gc.freeze()
    gc.enable()
    work(int(sys.argv[3]))
    lose(int(sys.argv[2]))
    print(json.dumps({'ready': True, 'ms': (time.perf_counter() - started) * 1000}), flush=True)
    if sys.argv[4:] == ['live']:
        sys.stdin.read()
