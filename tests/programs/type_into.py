"""Runs a command on a terminal of its own and types: {"command", "steps": [[pattern, text], ...]}. Prints what it showed;
ends with the command's exit code. What is not shown within 20 seconds is an error."""
import json
import os
import pty
import re
import select
import sys
import time

request = json.loads(sys.argv[1])
pid, terminal = pty.fork()
if pid == 0:
    os.execvp(request["command"][0], request["command"])
shown = ""
at = 0


def read(limit):
    global shown
    ready, _, _ = select.select([terminal], [], [], limit)
    if not ready:
        return True
    try:
        data = os.read(terminal, 65536)
    except OSError:
        return False
    shown += re.sub(r"\x1b\[[0-9;]*[A-Za-z]", "", data.decode("utf-8", "replace"))
    return bool(data)


for pattern, text in request["steps"]:
    until = time.monotonic() + 20
    while True:
        found = re.search(pattern, shown[at:])
        if found:
            at += found.end()
            break
        if time.monotonic() > until or not read(0.1):
            sys.stdout.write(shown)
            sys.exit("never shown: %r" % pattern)
    if text == "\x03":
        # The command must have begun to run.
        time.sleep(0.3)
    os.write(terminal, text.encode())
while read(20):
    pass
sys.stdout.write(shown)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
