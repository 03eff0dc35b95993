"""From ``MODULE:APP`` on the command line to the application's ``tickr.Jobs``."""

from __future__ import annotations

import os
import sys
import traceback
from importlib import import_module
from types import ModuleType

from tickr.cli.exits import MISUSED, Exit
from tickr.worker.handlers import Jobs


def find_jobs(name: str) -> Jobs:
    """Import the module and return its handlers.

    Args:
      name: ``pkg.module:attribute``, or ``pkg.module`` if there is only one ``Jobs`` in it. The current directory is
        looked in first, as Python does for a script.
    Raises: Exit: with what is wrong and, if the module itself fails, the traceback of its own code.
    """
    module_name, _, path = name.partition(":")
    if module_name.endswith(".py") or "/" in module_name:
        likely = module_name.removesuffix(".py").replace("/", ".").strip(".")
        raise Exit(f"{name!r} is a file; a module is named like {likely}:jobs.", MISUSED)
    if (here := os.getcwd()) not in sys.path:
        sys.path.insert(0, here)
    module = _imported(module_name)
    found = _attribute(module, path) if path else _only_jobs(module)
    if not isinstance(found, Jobs):
        raise Exit(f"{name} is of type {type(found).__name__}, not a tickr.Jobs.{_candidates(module)}", MISUSED)
    return found


def _imported(name: str) -> ModuleType:
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        if error.name and (name == error.name or name.startswith(error.name + ".")):
            place = f"not in {os.getcwd()} and not installed"
            raise Exit(f"There is no module {error.name!r}: {place}.", MISUSED) from None
        raise Exit(f"{name} needs the module {error.name!r}, which is not installed.", MISUSED) from None
    except (ValueError, TypeError):
        if name and all(part.isidentifier() for part in name.split(".")):
            raise Exit(_own_fault(name), MISUSED) from None
        raise Exit(f"{name!r} is not the name of a module.", MISUSED) from None
    except (Exception, SystemExit):
        raise Exit(_own_fault(name), MISUSED) from None


def _own_fault(name: str) -> str:
    """Return the sentence about the exception at hand, below its traceback without the frames of the import system."""
    kind, error, trace = sys.exc_info()
    while trace and ("importlib" in trace.tb_frame.f_code.co_filename or trace.tb_frame.f_code.co_filename == __file__):
        trace = trace.tb_next
    told = "".join(traceback.format_exception(kind, error, trace))
    return f"{name} cannot be imported.\n\n{told.rstrip()}"


def _attribute(module: ModuleType, path: str) -> object:
    found: object = module
    for part in path.split("."):
        try:
            found = getattr(found, part)
        except AttributeError:
            raise Exit(f"There is no {path!r} in {module.__name__}.{_candidates(module)}", MISUSED) from None
    return found


def _only_jobs(module: ModuleType) -> Jobs:
    named = _named_jobs(module)
    if len({id(jobs) for jobs in named.values()}) == 1:
        return next(iter(named.values()))
    if not named:
        raise Exit(f"There is no tickr.Jobs in {module.__name__}; make one: jobs = tickr.Jobs().", MISUSED)
    raise Exit(f"There are several tickr.Jobs in {module.__name__}.{_candidates(module)}", MISUSED)


def _candidates(module: ModuleType) -> str:
    names = [f"{module.__name__}:{name}" for name in _named_jobs(module)]
    return f" Say {' or '.join(names)}." if names else ""


def _named_jobs(module: ModuleType) -> dict[str, Jobs]:
    return {name: value for name, value in vars(module).items() if isinstance(value, Jobs)}
