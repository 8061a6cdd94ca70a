"""Calls functions of the extensions beside the tests: lose.py [module.function:count[:argument]] ... [end=how].

Prints what the modules counted. end=exit (default), os._exit, SIGKILL, wait (until it is ended).
"""

import gc
import importlib
import json
import os
import signal
import sys
import time

kept = []
modules = {}
end = "exit"
for word in sys.argv[1:]:
    if word.startswith("end="):
        end = word[4:]
        continue
    name, count, *arguments = word.split(":")
    module_name, function = name.split(".", 1)
    module = modules[module_name] = importlib.import_module(module_name)
    call = eval(function, vars(module))
    for _ in range(int(count)):
        kept.append(call(*map(int, arguments)))
gc.collect()

counts = {name: module.counted() for name, module in modules.items()}
print(json.dumps({"pid": os.getpid(), "counts": counts}), flush=True)
if end == "os._exit":
    os._exit(3)
elif end == "SIGKILL":
    os.kill(os.getpid(), signal.SIGKILL)
elif end == "wait":
    while True:
        time.sleep(1)
