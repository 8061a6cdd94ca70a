/* Cells of a grid, allocated by the constructor: what grid.pyx does, for where there is no Cython. */
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    PyObject_HEAD
    double *cells;
    Py_ssize_t size;
} Grid;

static PyObject *
Grid_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    Py_ssize_t size;
    if (!PyArg_ParseTuple(args, "n", &size))
        return NULL;
    Grid *self = (Grid *)type->tp_alloc(type, 0);
    if (self == NULL)
        return NULL;
    /* The mistake: there is no tp_dealloc that frees them. */
    self->size = size;
    self->cells = malloc(size * sizeof(double));
    if (self->cells != NULL)
        memset(self->cells, 1, size * sizeof(double));
    return (PyObject *)self;
}

static Py_ssize_t
Grid_length(PyObject *self)
{
    return ((Grid *)self)->size;
}

static PySequenceMethods Grid_as_sequence = {.sq_length = Grid_length};

static PyTypeObject GridType = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "grid.Grid",
    .tp_basicsize = sizeof(Grid),
    .tp_flags = Py_TPFLAGS_DEFAULT,
    .tp_new = Grid_new,
    .tp_as_sequence = &Grid_as_sequence,
};

static struct PyModuleDef definition = {PyModuleDef_HEAD_INIT, "grid", NULL, -1, NULL};

PyMODINIT_FUNC
PyInit_grid(void)
{
    if (PyType_Ready(&GridType) < 0)
        return NULL;
    PyObject *module = PyModule_Create(&definition);
    if (module == NULL)
        return NULL;
    Py_INCREF(&GridType);
    if (PyModule_AddObject(module, "Grid", (PyObject *)&GridType) < 0) {
        Py_DECREF(module);
        return NULL;
    }
    return module;
}
