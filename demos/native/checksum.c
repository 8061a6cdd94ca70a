/* The sum of a text's bytes in UTF-8. */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

static PyObject *
checksum(PyObject *self, PyObject *text)
{
    PyObject *encoded = PyUnicode_AsUTF8String(text);
    if (encoded == NULL)
        return NULL;
    unsigned long sum = 0;
    const char *bytes = PyBytes_AS_STRING(encoded);
    for (Py_ssize_t i = 0; i < PyBytes_GET_SIZE(encoded); i++)
        sum += (unsigned char)bytes[i];
    /* The mistake: Py_DECREF(encoded) is missing. */
    return PyLong_FromUnsignedLong(sum);
}

static PyMethodDef methods[] = {
    {"checksum", checksum, METH_O, "The sum of a text's bytes in UTF-8."},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {PyModuleDef_HEAD_INIT, "checksum", NULL, -1, methods};

PyMODINIT_FUNC
PyInit_checksum(void)
{
    return PyModule_Create(&definition);
}
