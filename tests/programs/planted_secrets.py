"""Has one secret in every place where a capture could keep text of the program, and says which; then, line by line, adds
more to what it leaks. Secrets are built at run time, so that no constant of the code is one, but for those that say so.
"""
import ctypes
import json
import os
import sys
import threading

PARTS = 'hunter', 'two'
WORD = ''.join(PARTS)


def secret(place):
    return '%s_%s' % (WORD, place)


class Account:
    """hunter" "two_docstring"""

    def __init__(self, number):
        self.number = number
        self.password = secret('attribute%d' % number)


def constant():
    return 'huntertwo_constant'


class Leak:
    def __init__(self, number):
        self.note = '%s %d' % (secret('leaked'), number)


accounts = {secret('key'): Account(1), (secret('tuple'), 2): Account(2)}
members = {secret('member')}
raw = [secret('bytes').encode(), bytearray(secret('bytearray').encode())]
numbers = [1835627089, 1835627089.5, int(secret('x').encode().hex()[:20], 16)]
setattr(accounts[secret('key')], secret('setattr'), 1)
plain = Account(3)
plain.__dict__[secret('dict_attribute')] = 2
for name in ('first', 'second'):
    # The second shares its keys with the first.
    each = Account(4)
    setattr(each, secret('shared'), name)
    accounts[name] = each
failed = ValueError(secret('exception'))
libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
libc.memcpy.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_size_t]
kept_by_c = []


def lose_blocks(count):
    for _ in range(count):
        text = (secret('native') + ' ').encode() * 40
        block = libc.malloc(len(text) + 1)
        libc.memcpy(block, text, len(text))


leaked = []


def leak(count):
    # No name in code: hunts name the container.
    leaked.extend(Leak(number) for number in range(count))


def waits(event, in_local):
    event.wait()


event = threading.Event()
# The kernel keeps 15 characters.
thread = threading.Thread(target=waits, args=(event, secret('local')), daemon=True, name=secret('th'))
thread.start()
try:
    # Newer versions tell the kernel by themselves.
    ctypes.CDLL(None).pthread_setname_np(ctypes.c_void_p(thread.ident), secret('th').encode()[:15])
except AttributeError:
    pass
lose_blocks(50)
leak(100)
print(json.dumps({'pid': os.getpid(), 'argument': sys.argv[1], 'environment': os.environ['SECRET']}), flush=True)
for line in sys.stdin:
    leak(int(line))
    print(json.dumps(len(leaked)), flush=True)
