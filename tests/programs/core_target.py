"""Keeps 5000 rows, queues of an extension module that is loaded from a folder of its own, and a thread; then stands still.

`core_target.py FOLDER` copies the extension there. The first line on stdout is JSON: {"pid", "extension", "rows"}. A line on
stdin is answered with a line; `abort` ends the process with SIGABRT.
"""

import importlib.machinery
import importlib.util
import json
import os
import shutil
import sys
import threading


class Row:
    def __init__(self, number):
        self.number = number
        self.text = "row %d" % number


def load_extension(folder):
    """`_queue` from a copy of its file, so that a test can take that away."""
    origin = importlib.util.find_spec("_queue").origin
    path = shutil.copy(origin, folder)
    loader = importlib.machinery.ExtensionFileLoader("_queue", path)
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader("_queue", loader))
    loader.exec_module(module)
    return module, path


rows = [Row(i) for i in range(5000)]
module, path = load_extension(sys.argv[1])
queues = [module.SimpleQueue() for _ in range(10)]
threading.Thread(target=threading.Event().wait, daemon=True).start()
print(json.dumps({"pid": os.getpid(), "extension": path, "rows": id(rows)}), flush=True)
while True:
    line = os.read(0, 100)
    if not line:
        break
    if line == b"abort\n":
        os.abort()
    os.write(1, b"\n")
