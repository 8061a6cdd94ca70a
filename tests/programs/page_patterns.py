"""Memory of every kind that a copy distinguishes, with addresses, and what is in it."""

import ctypes
import json
import mmap
import os
import sys
import tempfile

PAGE = 4096
PAGES = 2048
EVERY = 8


def address_of(view):
    return ctypes.addressof(ctypes.c_char.from_buffer(view))


sparse = mmap.mmap(-1, PAGES * PAGE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
for page in range(0, PAGES, EVERY):
    sparse[page * PAGE] = 1 + page // EVERY % 250
shared = mmap.mmap(-1, 16 * PAGE)
shared[0] = 1
with tempfile.NamedTemporaryFile() as data:
    data.write(b"x" * (PAGES * PAGE))
    data.flush()
    mapped = mmap.mmap(data.fileno(), 0, access=mmap.ACCESS_COPY)
mapped[5 * PAGE] = 7
guarded = mmap.mmap(-1, 16 * PAGE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
guarded[:] = b"g" * (16 * PAGE)
MADV_GUARD_INSTALL = 102
libc = ctypes.CDLL(None)
third = ctypes.c_void_p(address_of(guarded) + 3 * PAGE)
has_guard = libc.madvise(third, ctypes.c_size_t(PAGE), MADV_GUARD_INSTALL) == 0
word = ctypes.create_string_buffer(b"leakscope reads this")
libpython = ctypes.pythonapi
print(
    json.dumps(
        {
            "pid": os.getpid(),
            "sparse": address_of(sparse),
            "shared": address_of(shared),
            "mapped": address_of(mapped),
            "guarded": address_of(guarded) if has_guard else None,
            "word": ctypes.addressof(word),
            "typeType": id(type),
        }
    ),
    flush=True,
)
for line in sys.stdin:
    pass
