"""A Python that is hard to read for a reason outside of Python: `bad_target.py KIND`."""

import json
import os
import sys

kind = sys.argv[1]
pid = os.getpid()
if kind == "zombie":
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    # Gone, but not yet taken notice of.
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
elif kind == "other-user":
    os.setgroups([])
    os.setresgid(65534, 65534, 65534)
    os.setresuid(65534, 65534, 65534)
elif kind == "traced":
    import ctypes

    PTRACE_SEIZE = 0x4206
    child = os.fork()
    if child == 0:
        sys.stdin.read()
        os._exit(0)
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.ptrace(PTRACE_SEIZE, child, None, None) != 0:
        child = None
    pid = child
elif kind == "two-children":
    for _ in range(2):
        if os.fork() == 0:
            sys.stdin.read()
            os._exit(0)
print(json.dumps({"pid": pid}), flush=True)
for line in sys.stdin:
    if line == "exec\n":
        os.execv("/bin/sleep", ["sleep", "60"])
