"""Takes memory on demand: for each number on stdin as many megabytes of tickets in a list, for `+` a tenth of one; `0` frees
them. Answers with what the kernel says of its memory: {"rss", "anonymous"}, in bytes.

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


def take(count):
    if count == 0:
        tickets.clear()
    for number in range(count):
        tickets.append(Ticket(number))


def usage():
    with open("/proc/self/status") as status:
        fields = dict(line.split(":", 1) for line in status)
    anonymous = int(fields["RssAnon"].split()[0]) * 1024
    return {"rss": int(fields["VmRSS"].split()[0]) * 1024, "anonymous": anonymous}


print(json.dumps({"pid": os.getpid()}), flush=True)
for line in sys.stdin:
    take(140 if line == "+\n" else 1400 * int(line))
    print(json.dumps(usage()), flush=True)
