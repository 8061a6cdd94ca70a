"""150 MB of data without pointers beside a small heap, and as much of what only looks large: a list and a dict."""
import array
import json
import os
import sys

numbers = array.array('d', [1.5]) * 6000000
text = os.urandom(1000).hex() * 25000
buffer = bytearray(os.urandom(1000)) * 50000
items = [object() for _ in range(400000)]
table = {i: items[i] for i in range(200000)}
del numbers[0]
print(json.dumps({
    name: {'id': id(value), 'size': sys.getsizeof(value)}
    for name, value in (('numbers', numbers), ('text', text), ('buffer', buffer), ('items', items), ('table', table))
}), flush=True)
sys.stdin.read()
