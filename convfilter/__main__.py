"""Start the program: a signal ends it quietly even while it is still loading, and nothing keeps it from ending."""

import os
import sys
import threading
import warnings

from convfilter import streams


def main() -> None:
    """Run the command line; the process ends with its exit status."""
    streams.prepare()
    warnings.simplefilter("ignore")  # torch's are for those who write programs
    streams.catch_signals(lambda number, frame: os._exit(128 + number))
    from convfilter.cli.main import main as run

    try:
        run()
        status = 0
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
    except OSError as error:  # of standard output; files have their own
        streams.say(f"convfilter: standard output: {error.strerror}\n")
        os._exit(1)  # its last flush would fail again
    if "torch" in sys.modules or threading.active_count() > 1:
        os._exit(status)  # the usual way takes torch half a second, and waits for pictures that nobody wants any more
    sys.exit(status)


if __name__ == "__main__":
    main()
