"""What a process of a cluster does for a sweep: one run, or one setting of a search."""

from metaplax.runs import Interruption
from metaplax.runs.schema import RunState
from metaplax.runs.sweep_folder import UNKNOWN, SweepFolder
from metaplax.sweeps import cores
from metaplax.sweeps.conducting import STOP, conduct
from metaplax.sweeps.search import search_once


def conduct_alone(path: str, name: str) -> RunState:
    """Conduct a run, or the next setting of a search, in a process that may have conducted others before."""
    sweep = SweepFolder.open(path)
    is_search = sweep.plan["search"] is not None
    if (sweep.path / STOP).exists():
        return UNKNOWN if is_search else sweep.state(name)
    cores.take(sweep.plan["cores"], sweep.plan["gpu_share"])
    with Interruption().listening() as interruption:
        if is_search:
            search_once(sweep, interruption)
            return UNKNOWN
        return conduct(sweep, name, interruption)
