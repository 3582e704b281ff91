"""Start the program: in the warm process if one runs, else here; a signal ends it quietly even while it is loading."""

import os
import sys


def main() -> None:
    """Run the command line; the process ends with its exit status."""
    survive()
    if "warm" not in sys.argv[1:]:  # that command asks it from outside
        from convfilter import __version__
        from convfilter.warm import client

        status = client.call(__version__)
        if status is not None:
            client.leave(status)
    status = run()
    import threading

    if "torch" in sys.modules or threading.active_count() > 1:
        os._exit(status)  # the usual way takes torch half a second, and waits for pictures that nobody wants any more
    import signal

    from convfilter import streams

    streams.answer_signals(signal.SIG_IGN)  # for Python takes its own handlers back before the process has ended
    sys.exit(status)


def survive() -> None:
    """Let the signals that ask how far a run is not end it, even where it has just begun."""
    import _signal  # not `signal`, which loads ten other modules

    for name in ("SIGUSR1", "SIGINFO"):
        number = getattr(_signal, name, None)
        if number is not None and _signal.getsignal(number) == _signal.SIG_DFL:
            _signal.signal(number, lambda number, frame: None)


def run() -> int:
    """Run the command line in this very process, and return its exit status; a signal ends the process."""
    import warnings

    from convfilter import streams

    streams.prepare()
    warnings.simplefilter("ignore")  # torch's are for those who write programs
    streams.catch_signals(lambda number, frame: os._exit(128 + number))
    streams.answer_signals(lambda number, frame: streams.say_at_once("convfilter: no picture is done yet\n"))
    from convfilter.cli.main import main

    try:
        main()
        return 0
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except OSError as error:  # of standard output; files have their own
        streams.say(f"convfilter: standard output: {error.strerror}\n")
        os._exit(1)  # its last flush would fail again


if __name__ == "__main__":
    main()
