"""Takes memory on demand: for each number on stdin as many megabytes of tickets in a list, `0` frees them; answers with what
the kernel says of its memory: {"rss", "anonymous"}, in bytes.

The first line on stdout is JSON: {"pid"}. Ends when its stdin is closed.
"""

import json
import os
import sys


class Ticket:
    def __init__(self, number):
        self.number = number
        self.text = "%d" % number * 100


tickets = []


def take(megabytes):
    if megabytes == 0:
        tickets.clear()
    for number in range(megabytes * 1400):
        tickets.append(Ticket(number))


def usage():
    with open("/proc/self/status") as status:
        fields = dict(line.split(":", 1) for line in status)
    anonymous = int(fields["RssAnon"].split()[0]) * 1024
    return {"rss": int(fields["VmRSS"].split()[0]) * 1024, "anonymous": anonymous}


print(json.dumps({"pid": os.getpid()}), flush=True)
for line in sys.stdin:
    take(int(line))
    print(json.dumps(usage()), flush=True)
