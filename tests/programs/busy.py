"""Four threads that change dicts, lists, sets, objects and generators as fast as they can and check what they do.

Prints the ids of objects that stay, and when a line comes on stdin {"operations", "failures"}.
"""

import json
import os
import random
import sys
import threading


class Node:
    def __init__(self, value, next_node):
        self.value = value
        self.next_node = next_node


class Slotted:
    __slots__ = ("left", "right", "__weakref__")


staying = {"node %d" % i: Node(i, None) for i in range(200)}
stopping = threading.Event()
operations = [0] * 4
failures = []


def check(condition, what):
    if not condition:
        failures.append(what)


def change_dicts(source):
    mirror, changing = [], {}
    for _ in range(300):
        key = source.randrange(10000)
        changing[key] = str(key)
        mirror.append(key)
    check(all(changing[key] == str(key) for key in mirror), "dict")
    for key in list(changing)[::2]:
        del changing[key]
    check(len(changing) == len(set(mirror)) // 2, "dict length")


def change_lists(source):
    numbers = [source.randrange(1 << 70) for _ in range(300)]
    total = sum(numbers)
    source.shuffle(numbers)
    numbers.sort()
    numbers[100:200] = reversed(numbers[100:200])
    check(sum(numbers) == total, "list")


def change_chains(source):
    chain = None
    for value in range(200):
        chain = Node(value, chain)
        chain.extra = {value}
    seen = 0
    while chain is not None:
        seen += chain.value
        chain = chain.next_node
    check(seen == sum(range(200)), "chain")
    ring = [Slotted() for _ in range(50)]
    for left, right in zip(ring, ring[1:] + ring[:1]):
        left.right, right.left = right, left
    check(all(each.right.left is each for each in ring), "ring")


def change_generators(source):
    def tree(depth):
        if depth == 0:
            yield 1
        else:
            yield from tree(depth - 1)
            yield from tree(depth - 1)

    check(sum(tree(7)) == 128, "generator")
    members = set(range(200))
    members ^= {source.randrange(400) for _ in range(100)}
    check(len(members) == sum(1 for _ in members), "set")


def work(row):
    source = random.Random(row)
    changes = [change_dicts, change_lists, change_chains, change_generators]
    while not stopping.is_set():
        source.choice(changes)(source)
        operations[row] += 1


threads = [threading.Thread(target=work, args=(row,)) for row in range(4)]
for thread in threads:
    thread.start()
print(json.dumps({"pid": os.getpid(), "staying": [id(node) for node in staying.values()]}), flush=True)
sys.stdin.readline()
stopping.set()
for thread in threads:
    thread.join()
check(all(node.value == i for i, node in enumerate(staying.values())), "staying")
print(json.dumps({"operations": operations, "failures": failures}), flush=True)
