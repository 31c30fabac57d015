"""The one exception that means "the input or the arguments are at fault"."""


class InputError(ValueError):
    """What was given cannot be used; the message is one line that says why and what was given.

    The command line prints the message and exits with code 2, without a traceback.
    """
