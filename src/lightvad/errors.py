"""The one exception that a user sees: a single line that says what is wrong, where, and what to do."""


class LightvadError(Exception):
    """A user's mistake or a fault of the data: one line naming the file, clip, frame or key, and the remedy.

    The command line prints the message without a traceback and exits with status 1.
    """
