"""How far a long work has come, in the log: counts, rate, time left."""

import logging
import time
from dataclasses import dataclass, field

from transition.french import duration, number

_EVERY = 10.0  # seconds between two lines
_log = logging.getLogger("transition.progress")


@dataclass
class Progress:
    """Counts the steps of a work and says where it stands, every ten seconds and at its end.

    :param work: its name, as in « Sauvegarde ». :param total: how many steps. :param unit: what a step is, in the
        plural. :param amount_unit: what :meth:`step` counts besides, in the plural.
    """

    work: str
    total: int
    unit: str
    amount_unit: str
    done: int = 0
    amount: float = 0
    _begin: float = field(default_factory=time.monotonic)
    _said: float = field(default_factory=time.monotonic)

    def step(self, amount: float = 0, steps: int = 1) -> None:
        """One more step is done, or several; ``amount``: what they came to."""
        self.done += steps
        self.amount += amount
        now = time.monotonic()
        if now - self._said >= _EVERY or self.done == self.total:
            self._said, seconds = now, max(now - self._begin, 0.001)
            _log.info(
                "%s : %s %s/%s, %s %s (%s/s), reste environ %s",
                self.work, self.unit, number(self.done), number(self.total), self.amount_unit,
                number(round(self.amount)), number(round(self.amount / seconds)),
                duration(seconds / self.done * (self.total - self.done)),
            )  # fmt: skip
