"""How runs of pytest in the folders beside this file end."""

import signal


def pytest_configure():
    # What ends the tests takes everything down first, as an interruption from the keyboard does.
    def end(number, _):
        # Once: a second one would interrupt that.
        signal.signal(number, signal.SIG_IGN)
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGHUP, end)
