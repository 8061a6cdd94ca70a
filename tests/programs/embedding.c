/* A C program with a Python in it: runs the file that its first argument names. Its own name says nothing of Python. */
#include <Python.h>

int main(int argc, char **argv) {
  PyConfig config;
  PyConfig_InitPythonConfig(&config);
  config.parse_argv = 0;
  PyConfig_SetBytesArgv(&config, argc - 1, argv + 1);
  PyStatus status = Py_InitializeFromConfig(&config);
  if (PyStatus_Exception(status)) Py_ExitStatusException(status);
  FILE *program = fopen(argv[1], "r");
  if (program == NULL) return 1;
  return PyRun_SimpleFile(program, argv[1]) == 0 ? Py_FinalizeEx() : 1;
}
