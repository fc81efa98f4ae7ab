"""Every family of probes; importing one registers its probes."""

from families import files, hidden, ipc, kernel_surface, network, persistence, proc, processes  # noqa: F401
from families import resources, set_id, terminals, writes  # noqa: F401
