"""Objects of known number for the recipes of docs/sql.md, with its own counts as one JSON line; each line on stdin is a number
of orders to add, answered with how many there are."""
import ctypes
import json
import os
import sys


class Order:
    def __init__(self, number):
        self.number = number
        self.status = 'status-%d' % (number % 3)


class Slotted:
    __slots__ = ('status',)

    def __init__(self, status):
        self.status = status


orders = [Order(number) for number in range(1500)]
slotted = [Slotted('slot-%d' % (number % 5)) for number in range(40)]
odd = [Order(number) for number in range(7)]
for each in odd:
    # Attributes of its own: the dict shares no keys any more.
    each.__dict__ = {'status': each.status, 'odd-%d' % each.number: 1}
copies = ['%s-%s' % ('dupli', 'cate') for _ in range(300)]
sparse = {'key-%d' % number: number for number in range(5000)}
for number in range(4990):
    del sparse['key-%d' % number]
vault = {'piece-%d' % number: bytes(300_000 + number) for number in range(50)}
libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
libc.memset.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_size_t]


def lose(count):
    for _ in range(count):
        libc.memset(libc.malloc(3000), 0x41, 3000)


lose(100)
print(
    json.dumps(
        {
            'pid': os.getpid(),
            'orders': len(orders) + len(odd),
            'copies': len(copies),
            'copyBytes': sys.getsizeof(copies[0]),
            'sparse': id(sparse),
            'sparseBytes': sys.getsizeof(sparse),
            'vault': id(vault),
            'pieces': len(vault),
            'list': id(orders),
        }
    ),
    flush=True,
)
for line in sys.stdin:
    orders.extend([Order(number) for number in range(int(line))])
    print(json.dumps(len(orders)), flush=True)
