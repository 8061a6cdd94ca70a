# Cells of a grid, allocated by the constructor.
from libc.stdlib cimport malloc
from libc.string cimport memset


cdef class Grid:
    cdef double *cells
    cdef Py_ssize_t size

    def __cinit__(self, Py_ssize_t size):
        # The mistake: there is no __dealloc__ that frees them.
        self.size = size
        self.cells = <double *>malloc(size * sizeof(double))
        memset(self.cells, 1, size * sizeof(double))

    def __len__(self):
        return self.size
