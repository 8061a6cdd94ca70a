"""Compiles a demo's extension module on the spot, for the Python that runs the demo, into a folder that does not stay.

With Cython and the .pyx file where there is a Cython, else the C file that does the same. Python's headers and gcc (or $CC)
are needed; without them the demo ends with a sentence that says what to install.
"""

import importlib.util
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile

FOLDER = os.path.dirname(os.path.abspath(__file__))
_removers = []


def build(name):
    """Returns the imported module and "cython" or "c"."""
    compiler = shutil.which(os.environ.get("CC", "gcc")) or shutil.which("cc")
    if compiler is None:
        sys.exit("This demo compiles an extension module, and there is no C compiler: apt-get install gcc libc6-dev")
    include = sysconfig.get_paths()["include"]
    if not os.path.exists(os.path.join(include, "Python.h")):
        sys.exit(
            "This demo compiles an extension module, and %s is missing: apt-get install python3-dev, or name a Python "
            "that has its headers" % os.path.join(include, "Python.h")
        )
    folder = tempfile.mkdtemp(prefix="leakscope-demo-")
    _remove_at_end(folder)
    source, language = _find_source(name, folder)
    library = os.path.join(folder, name + ".so")
    command = [compiler, "-g", "-O1", "-shared", "-fPIC", "-I", include, source, "-o", library]
    result = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if result.returncode != 0:
        lines = result.stdout.decode(errors="replace").strip().splitlines() or ["it said nothing"]
        errors = [line for line in lines if "error" in line] or lines
        sys.exit("This demo's extension module cannot be compiled: %s" % errors[0])
    spec = importlib.util.spec_from_file_location(name, library)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module, language


def _find_source(name, folder):
    """The C file that Cython makes, or ours."""
    ours = os.path.join(FOLDER, name + ".c")
    pyx = os.path.join(FOLDER, name + ".pyx")
    if not os.path.exists(pyx) or os.environ.get("LEAKSCOPE_DEMO_CYTHON") == "0":
        return ours, "c"
    if importlib.util.find_spec("Cython") is not None:
        cython = [sys.executable, "-m", "cython"]
    else:
        program = shutil.which("cython") or shutil.which("cython3")
        cython = None if program is None else [program]
    made = os.path.join(folder, name + ".c")
    if cython is not None:
        result = subprocess.run(cython + ["-3", pyx, "-o", made], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        if result.returncode == 0:
            return made, "cython"
    return ours, "c"


def _remove_at_end(folder):
    # Also after SIGKILL: a shell in a session of its own waits until our end of the pipe is gone. Until then the library
    # stays where it is, for tools that read its symbols.
    remover = subprocess.Popen(
        ["sh", "-c", 'cat; rm -rf "$0"', folder],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        cwd="/",
    )
    _removers.append(remover)
