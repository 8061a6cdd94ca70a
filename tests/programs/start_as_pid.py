"""Starts a program under a pid of choice, as a machine does whose pids come round again: start_as_pid.py PID PROGRAM...

Needs the right to choose (root); exits with 77 without it.
"""

import ctypes
import os
import struct
import sys

CLONE3 = 435
SIGCHLD = 17

libc = ctypes.CDLL(None, use_errno=True)
pids = (ctypes.c_int * 1)(int(sys.argv[1]))
# struct clone_args of linux/sched.h: exit_signal is the fifth field, set_tid the ninth.
fields = struct.pack("11Q", 0, 0, 0, 0, SIGCHLD, 0, 0, 0, ctypes.addressof(pids), len(pids), 0)
child = libc.syscall(CLONE3, ctypes.create_string_buffer(fields, len(fields)), len(fields))
if child == 0:
    os.execvp(sys.argv[2], sys.argv[2:])
if child < 0:
    print(os.strerror(ctypes.get_errno()), file=sys.stderr)
    sys.exit(77)
os.waitpid(child, 0)
