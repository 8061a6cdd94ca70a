"""Leaks 400 tickets for each line on stdin, answers with how many there are, and makes garbage besides.

The first line on stdout is JSON: {"pid"}. Ends when its stdin is closed.
"""

import json
import os
import sys


class Ticket:
    def __init__(self, number):
        self.number = number
        self.text = "ticket %d" % number


class Desk:
    def __init__(self):
        self.open = {}

    def take(self, count):
        for number in range(len(self.open), len(self.open) + count):
            self.open[number] = Ticket(number)


desk = Desk()
print(json.dumps({"pid": os.getpid()}), flush=True)
for line in sys.stdin:
    desk.take(400)
    json.loads(json.dumps([{"row": i} for i in range(1000)]))
    print(len(desk.open), flush=True)
