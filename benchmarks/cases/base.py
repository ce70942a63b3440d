"""What can be timed: a number of inner steps, or one meta-step."""

from abc import ABC, abstractmethod
from collections.abc import Callable

Run = Callable[[], object]
"""Takes all steps, and waits until they are done."""


class AbstractStep(ABC):
    """A step that can be timed here and in PyTorch."""

    @property
    def copies(self) -> int:
        """How many independent tasks a compiled program works on; the rival works on one."""
        return 1

    def per_run(self, steps: int) -> int:
        """How many steps a run takes when it is asked for ``steps``; a meta-step is taken once."""
        return steps

    @abstractmethod
    def compiled(self, steps: int) -> Run:
        """A run of ``steps`` steps of every copy as one compiled program."""


class AbstractSingleStep(AbstractStep):
    """A meta-step: always taken once per run."""

    def per_run(self, steps: int) -> int:
        del steps
        return 1
