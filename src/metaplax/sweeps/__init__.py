"""Sweeps: many runs of one experiment, handed out to the cores of a machine, to a Ray cluster or to SLURM.

What hands them out on one machine waits for hours, and is kept free of JAX: only workers import it.
"""

__all__ = []
