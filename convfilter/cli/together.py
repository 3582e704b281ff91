"""Keeps a torchrun alive until all its processes are done: it would end them all when the first one fails."""

import contextlib
import os
import time


def finish_together(*, failed: bool) -> None:
    """Tell the other processes of this torchrun that this one is done; one that failed waits until all are.

    Nothing happens in a process that torchrun has not started.
    """
    if os.environ.get("TORCHELASTIC_USE_AGENT_STORE") != "True":
        return
    with contextlib.suppress(Exception):  # the others are gone, and so is the reason to wait
        from torch.distributed import rendezvous

        store, _, processes = next(rendezvous("env://"))
        key = f"convfilter/{os.environ.get('TORCHELASTIC_RESTART_COUNT')}"
        store.add(key, 1)
        while failed and store.add(key, 0) < processes:
            time.sleep(0.2)
