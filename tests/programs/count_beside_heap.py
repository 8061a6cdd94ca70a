"""A thread that counts a few thousand times a second beside `count_beside_heap.py OBJECTS` small objects. The address
of the counter is printed."""

import ctypes
import json
import os
import sys
import threading
import time

heap = [{"number": number} for number in range(int(sys.argv[1]))]
counter = ctypes.c_uint64()


def count():
    while True:
        counter.value += 1
        time.sleep(0.0002)


threading.Thread(target=count, daemon=True).start()
print(json.dumps({"pid": os.getpid(), "counter": ctypes.addressof(counter)}), flush=True)
sys.stdin.read()
