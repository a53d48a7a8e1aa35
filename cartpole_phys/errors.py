"""The one exception type for what a user can mend."""


class InputError(ValueError):
    """Something the caller gave cannot be used.

    The message says what was expected, what was got and what to do next; the commands print it on one
    line and end with exit code 2.
    """
