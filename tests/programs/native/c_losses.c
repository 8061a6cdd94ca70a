/* An extension that loses memory in known ways and counts what it loses: the truth that tests compare with. */
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdlib.h>

static Py_ssize_t blocks, bytes;
static void *volatile last;
static void *volatile kept[1024];
static int kept_count;

struct node {
    struct node *next;
    char payload[56];
};

static void *
count(void *block, Py_ssize_t size)
{
    blocks++;
    bytes += size;
    return block;
}

static PyObject *
lose(PyObject *self, PyObject *args)
{
    Py_ssize_t size;
    if (!PyArg_ParseTuple(args, "n", &size))
        return NULL;
    last = count(malloc(size), size);
    last = NULL;
    Py_RETURN_NONE;
}

static PyObject *
lose_list(PyObject *self, PyObject *args)
{
    int length;
    struct node *head = NULL;
    if (!PyArg_ParseTuple(args, "i", &length))
        return NULL;
    for (int i = 0; i < length; i++) {
        struct node *node = count(malloc(sizeof(struct node)), sizeof(struct node));
        node->next = head;
        head = node;
    }
    last = head;
    last = NULL;
    Py_RETURN_NONE;
}

/* PyBytes_FromStringAndSize gives a new reference, which nobody gives up. */
static PyObject *
forget_bytes(PyObject *self, PyObject *args)
{
    PyObject *object = PyBytes_FromStringAndSize(NULL, 500);
    count(object, 533);
    last = object;
    last = NULL;
    Py_RETURN_NONE;
}

static PyObject *
keep(PyObject *self, PyObject *args)
{
    kept[kept_count++ % 1024] = malloc(300);
    Py_RETURN_NONE;
}

static PyObject *
give_back(PyObject *self, PyObject *args)
{
    last = malloc(4000);
    free(last);
    Py_RETURN_NONE;
}

static PyObject *
make_tuple(PyObject *self, PyObject *args)
{
    return Py_BuildValue("(ii)", 1000, 2000);
}

/* Allocated by its beginning, and lost: once in a process. */
static void
prepare(void)
{
    last = malloc(77);
    last = NULL;
}

static PyObject *
counted(PyObject *self, PyObject *args)
{
    return Py_BuildValue("{s:n,s:n}", "blocks", blocks, "bytes", bytes);
}

static PyMethodDef methods[] = {
    {"lose", lose, METH_VARARGS, NULL},
    {"lose_list", lose_list, METH_VARARGS, NULL},
    {"forget_bytes", forget_bytes, METH_NOARGS, NULL},
    {"keep", keep, METH_NOARGS, NULL},
    {"give_back", give_back, METH_NOARGS, NULL},
    {"make_tuple", make_tuple, METH_NOARGS, NULL},
    {"counted", counted, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {PyModuleDef_HEAD_INIT, "c_losses", NULL, -1, methods};

PyMODINIT_FUNC
PyInit_c_losses(void)
{
    prepare();
    return PyModule_Create(&definition);
}
