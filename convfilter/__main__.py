"""Start the program: a signal ends it quietly even while it is still loading."""

import os
import signal


def main() -> None:
    """Run the command line; the process ends with its exit status."""
    for name, status in (("SIGINT", 130), ("SIGTERM", 143)):
        signal.signal(getattr(signal, name), lambda *_, status=status: os._exit(status))
    from convfilter.cli import main

    main()


if __name__ == "__main__":
    main()
