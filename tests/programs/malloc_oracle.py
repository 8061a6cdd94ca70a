"""Fills the heap through malloc_oracle.c and lets it answer: LIBRARY, then STEPS as JSON, each [thread, function, arguments]."""
import ctypes
import json
import sys
import threading

library = ctypes.CDLL(sys.argv[1])
steps = json.loads(sys.argv[2])
free_every = int(sys.argv[3])
try:
    mallinfo2 = ctypes.cast(ctypes.CDLL(None).mallinfo2, ctypes.c_void_p)
except AttributeError:
    mallinfo2 = None


def run(number, done, end):
    for thread, name, arguments in steps:
        if thread == number:
            if name.endswith('_forever'):
                done.set()
            # One word each: without a type ctypes passes an int of 32 bits.
            getattr(library, name)(*[ctypes.c_size_t(argument) for argument in arguments])
    done.set()
    end.wait()


end = threading.Event()
for number in sorted({step[0] for step in steps}):
    done = threading.Event()
    if number == 0:
        end_now = threading.Event()
        end_now.set()
        run(0, done, end_now)
    else:
        threading.Thread(target=run, args=(number, done, end), daemon=True).start()
        done.wait()
library.serve(mallinfo2, free_every)
