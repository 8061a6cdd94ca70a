"""The objects that are made, all alive, with a label each."""

import sys

VERSION = sys.version_info[:2]
made = []


def add(label, obj):
    made.append((label, obj))
    return obj
