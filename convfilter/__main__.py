"""Start the program: a signal ends it quietly even while it is still loading, and nothing keeps it from ending."""

import os
import sys
import threading

from convfilter import streams


def main() -> None:
    """Run the command line; the process ends with its exit status."""
    streams.fill_closed()
    streams.catch_signals(lambda number, frame: os._exit(128 + number))
    from convfilter import cli

    status = 0
    try:
        cli.main()
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
    except OSError as error:  # click has printed something, and it is lost: an answer, or what is wrong with the usage
        status = 2 if streams.flush(sys.stdout) else 1
        streams.say(f"convfilter: {error.strerror}\n")
    told = streams.flush(sys.stdout)
    if not (told and streams.flush(sys.stderr)) or threading.active_count() > 1:
        os._exit(status or int(not told))  # no second flush that fails, and no wait for a picture that nobody wants
    sys.exit(status)


if __name__ == "__main__":
    main()
