"""metaplax beside the same computations in eager PyTorch, and beside the least time they could take.

``python -m benchmarks episode`` and ``python -m benchmarks steps [NAME ...]``, from the root of a checkout.
"""

from importlib.util import find_spec

HAS_TORCH = find_spec("torch") is not None
"""Whether the rivals in PyTorch can be imported."""
