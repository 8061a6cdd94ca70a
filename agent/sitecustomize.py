"""Comes before the site's own sitecustomize in programs that `leakscope run` starts: lets consoles in, then runs that one.

Python imports it at start-up because `leakscope run` has put this folder first in PYTHONPATH. It does not run with -I, -E
or -S. The folder is taken off sys.path again; subprocesses inherit PYTHONPATH and listen, too."""
import sys


def _start():
    import os

    here = os.path.dirname(os.path.abspath(__file__))
    sys.path[:] = [entry for entry in sys.path if os.path.abspath(entry) != here]
    try:
        with open(os.path.join(here, "leakscope_agent.py"), encoding="utf-8") as file:
            source = file.read()
        names = {"__name__": "leakscope_agent"}
        exec(compile(source, "leakscope_agent.py", "exec"), names)
        names["listen"]()
    except Exception as error:
        # The program comes first.
        print("leakscope: no console in this process: %s" % error, file=sys.stderr)


def _run_next():
    from importlib.machinery import PathFinder
    from importlib.util import module_from_spec

    spec = PathFinder.find_spec("sitecustomize", sys.path)
    if spec is None or spec.loader is None:
        return
    module = module_from_spec(spec)
    sys.modules["sitecustomize"] = module
    spec.loader.exec_module(module)


_start()
_run_next()
