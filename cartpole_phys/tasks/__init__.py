"""Tasks: what the policy is asked to do with the cart and the pole, whose dynamics are the same for all.

A new task is one module here with a ``Task`` in it. Its environment ids are registered by
``cartpole_phys.registration``, and their reference returns, measured by ``python -m benchmarks.references``,
are in ``data/references.json``.
"""

from __future__ import annotations

from importlib import import_module
from pkgutil import iter_modules

from cartpole_phys.tasks.base import Task
from cartpole_phys.utils.choices import unknown

_MODULES = [import_module(f"{__name__}.{module.name}") for module in iter_modules(__path__)]
TASKS = {task.name: task for own in _MODULES for task in vars(own).values() if isinstance(task, Task)}


def task_named(name: str) -> Task:
    """The task of a name.

    Raises:
        InputError: if there is no task of that name.
    """
    if not isinstance(name, str) or name not in TASKS:
        raise unknown("task", name, TASKS)
    return TASKS[name]
