# A class of Cython whose constructor allocates and that has no __dealloc__.
from libc.stdlib cimport malloc

cdef Py_ssize_t blocks = 0
cdef Py_ssize_t bytes_lost = 0


cdef class Grid:
    cdef double *cells

    def __cinit__(self, Py_ssize_t size):
        global blocks, bytes_lost
        self.cells = <double *>malloc(size * sizeof(double))
        blocks += 1
        bytes_lost += size * sizeof(double)


cdef class Row:
    cdef char *text

    def grow(self, Py_ssize_t size):
        # What was there before is forgotten.
        global blocks, bytes_lost
        self.text = <char *>malloc(size)
        blocks += 1
        bytes_lost += size


def lose_grid(Py_ssize_t size):
    Grid(size)


def counted():
    return {"blocks": blocks, "bytes": bytes_lost}
