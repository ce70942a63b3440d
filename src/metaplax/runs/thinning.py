"""Which steps of a study are recorded: all, unless there are so many that the file would grow without bounds."""

MOST_ROWS = 10_000
"""Steps up to which every one is recorded; of more, every second, fourth, eighth ... one."""
MOST_NUMBERS = 2_000_000
"""Numbers up to which every step is recorded, if rows are wide."""
EDGE = 1_000
"""Steps at the start, and at the end, that are all recorded: there much changes, and results are averaged."""


def next_recorded(step: int, steps: int, width: int) -> int:
    """The first step from ``step`` on that is recorded, or a number from ``steps`` on.

    Args:
        step: index of a step.
        steps: number of steps in all.
        width: how many numbers are recorded of a step.
    """
    most = max(4, min(MOST_ROWS, MOST_NUMBERS // max(width, 1)))
    edge = min(EDGE, most // 4)
    if step < edge:
        return step
    stride = 1 << ((steps - 1) // most).bit_length()
    return min(-(-step // stride) * stride, max(step, steps - edge))
