"""What is remembered of a tree of arrays whose leaves are partly known anyway."""

from typing import Any

import equinox as eqx
import jax
from jaxtyping import Array, PyTree


class Residuals(eqx.Module):
    """A tree of arrays, less those leaves that will be given again when the tree is rebuilt.

    Whether a leaf is one of the given ones is decided by identity, so the two must come from one trace. A leaf
    that occurs more than once is kept once.
    """

    kept: list[Array]
    sources: tuple[tuple[bool, int], ...] = eqx.field(static=True)
    structure: Any = eqx.field(static=True)

    def __init__(self, tree: PyTree, given: PyTree):
        leaves, self.structure = jax.tree.flatten(tree)
        where = {id(leaf): (True, index) for index, leaf in enumerate(jax.tree.leaves(given))}
        self.kept, sources = [], []
        for leaf in leaves:
            if id(leaf) not in where:
                where[id(leaf)] = (False, len(self.kept))
                self.kept.append(leaf)
            sources.append(where[id(leaf)])
        self.sources = tuple(sources)

    def rebuild(self, given: PyTree) -> PyTree:
        """The tree, with what stands in the place of the given leaves now."""
        known = jax.tree.leaves(given)
        return jax.tree.unflatten(
            self.structure, [known[index] if is_given else self.kept[index] for is_given, index in self.sources]
        )
