// An extension in C++ that loses objects with a vector in them, and a vector with an allocator of its own; it counts them.
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <cstdlib>
#include <vector>

namespace {

Py_ssize_t blocks, bytes;
void *volatile last;

void count(Py_ssize_t size) {
    blocks++;
    bytes += size;
}

struct Matrix {
    std::vector<double> cells;
    explicit Matrix(size_t size) : cells(size) {}
};

template <class T> struct MallocAllocator {
    using value_type = T;
    MallocAllocator() = default;
    template <class U> MallocAllocator(const MallocAllocator<U> &) {}
    T *allocate(size_t n) { return static_cast<T *>(std::malloc(n * sizeof(T))); }
    void deallocate(T *p, size_t) { std::free(p); }
};

}  // namespace

extern "C" {

static PyObject *lose_matrix(PyObject *, PyObject *args) {
    Py_ssize_t size;
    if (!PyArg_ParseTuple(args, "n", &size)) return nullptr;
    last = new Matrix(size);
    last = nullptr;
    count(sizeof(Matrix));
    count(size * sizeof(double));
    Py_RETURN_NONE;
}

static PyObject *lose_buffer(PyObject *, PyObject *args) {
    Py_ssize_t size;
    if (!PyArg_ParseTuple(args, "n", &size)) return nullptr;
    auto *buffer = new std::vector<char, MallocAllocator<char>>(size);
    last = buffer;
    last = nullptr;
    count(sizeof(*buffer));
    count(size);
    Py_RETURN_NONE;
}

static PyObject *counted(PyObject *, PyObject *) {
    return Py_BuildValue("{s:n,s:n}", "blocks", blocks, "bytes", bytes);
}

static PyMethodDef methods[] = {
    {"lose_matrix", lose_matrix, METH_VARARGS, nullptr},
    {"lose_buffer", lose_buffer, METH_VARARGS, nullptr},
    {"counted", counted, METH_NOARGS, nullptr},
    {nullptr, nullptr, 0, nullptr},
};

static struct PyModuleDef definition = {PyModuleDef_HEAD_INIT, "cpp_losses", nullptr, -1, methods};

PyMODINIT_FUNC PyInit_cpp_losses(void) { return PyModule_Create(&definition); }
}
