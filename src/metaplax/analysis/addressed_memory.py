"""An idealised familiarity memory in closed form: some bits of an item address the unit that stores the others.

``D`` bits are stored and ``n`` bits select one of ``N = 2^n`` units. A unit whose address an item has is active unless
its stored bits have been there: ``a = W x_address + D b + A x_stored`` and ``h = [a > 0]``, with all sign vectors times
``D`` as the rows of ``W``, and ``A <- gamma A - h x_stored^T``. An item is called familiar if no unit is active.

Source: Tyulmankov, Yang & Abbott (2022).
"""

from dataclasses import dataclass
from math import erf, exp, log, sqrt
from statistics import NormalDist


@dataclass(frozen=True)
class AddressedMemory:
    """The parameters that reach given rates of errors, and the rates that follow at any interval.

    Args:
        stored: bits that are stored, ``D``.
        address: bits of the address, ``n``.
        false_positive_rate: wanted probability that a new item is called familiar.
        true_positive_rate: wanted probability that a repeated item is, at the interval ``reach``.
        new: fraction of the items that are new.

    Raises:
        ValueError: a size is below one, a rate is not between 0 and 1, the wanted rates are the wrong way round, or no
            decay of the synapses reaches them with so few of these.
    """

    stored: int
    address: int
    false_positive_rate: float = 0.005
    true_positive_rate: float = 0.995
    new: float = 2 / 3

    def __post_init__(self):
        if min(self.stored, self.address) < 1:
            raise ValueError(f"a memory stores and addresses at least one bit, not {self.stored} and {self.address}")
        if not 0 < self.false_positive_rate < self.true_positive_rate < 1 or not 0 < self.new <= 1:
            raise ValueError("rates are between 0 and 1, that of false positives below that of true ones")
        if not self.decay > 0:
            raise ValueError(f"no decay reaches these rates with {self.stored} bits in {2**self.address} units")

    @property
    def alpha(self) -> float:
        """Inverse size of the noise of a unit's input, in units of ``D``."""
        return (_erfcinv(2 * self.false_positive_rate) - _erfcinv(2 * self.true_positive_rate)) * sqrt(2 * exp(1))

    @property
    def decay(self) -> float:
        """``gamma``, by which synapses are multiplied at every item."""
        return 1 - self.alpha**2 * self.new / (2 * self.stored * 2**self.address)

    @property
    def bias(self) -> float:
        """``b``, the bias of every unit in units of ``D``."""
        return _erfcinv(2 * self.false_positive_rate) * sqrt(2) / self.alpha - self.address

    @property
    def reach(self) -> float:
        """The interval at which the wanted rate of true positives is met: about ``1 + D N / (alpha^2 f)``."""
        return 1 - 1 / (2 * log(self.decay))

    def true_positives(self, interval: float) -> float:
        """Probability that an item is called familiar when it comes again after so many items."""
        return self._familiar(self.alpha, self.decay ** (interval - 1))

    def corrected_true_positives(self, interval: float) -> float:
        """The same, taking into account that only items that are called new are written, and so make noise."""
        alpha, before = self.alpha, 0.0
        while abs(alpha - before) > 1e-6:
            wrong, right = self._familiar(alpha, 0.0), self._familiar(alpha, self.decay ** (interval - 1))
            written = (1 - wrong) * self.new + (1 - right) * (1 - self.new)
            alpha, before = self.alpha * sqrt(self.new / written), alpha
        return self._familiar(alpha, self.decay ** (interval - 1))

    def _familiar(self, alpha: float, left: float) -> float:
        """Probability of being called familiar, where so much is left of what was written."""
        return (1 - erf(alpha * (self.address + self.bias - left) / sqrt(2))) / 2


def _erfcinv(value: float) -> float:
    """The inverse of the complementary error function."""
    return -NormalDist().inv_cdf(value / 2) / sqrt(2)
