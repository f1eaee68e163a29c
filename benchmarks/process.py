"""Work measured in a process of its own, as Airflow runs a task: its time, and the memory that it alone took."""

import multiprocessing
import resource
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any, NamedTuple

import sqlalchemy as sa

import transition_airflow.tasks  # noqa: F401  a task's process has Airflow in its memory, too
from transition.campaign import collect_garbage_rarely


class Measured(NamedTuple):
    """What some work returned and took. ``memory``: the peak of its process in MiB, imports included."""

    result: Any
    seconds: float
    memory: float


def alone(engine: sa.Engine, work: Callable[[], Any]) -> Measured:
    """Do some work in a process of its own, with connections of its own.

    Raises :class:`RuntimeError` if it fails; the process has said why.
    """
    engine.dispose()
    fork = multiprocessing.get_context("fork")
    receiving, sending = fork.Pipe(duplex=False)
    process = fork.Process(target=_measure, args=(work, sending))
    process.start()
    sending.close()
    try:
        measured: Measured = receiving.recv()
    except EOFError:
        raise RuntimeError("a stage of the benchmark failed: see above") from None
    finally:
        process.join()
    return measured


def _measure(work: Callable[[], Any], sending: Connection) -> None:
    collect_garbage_rarely()  # as a task does
    begun = time.perf_counter()
    result = work()
    seconds = time.perf_counter() - begun
    sending.send(Measured(result, seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024))
