"""What the leaks of this folder have in common. A function that is marked as one returns the code that leaks once."""

LEAKS = {}


def leak(function):
    LEAKS[function.__name__] = function
    return function


class Tag:
    """Something to be held by what leaks, told apart from all else."""

    def __init__(self):
        self.number = 1
