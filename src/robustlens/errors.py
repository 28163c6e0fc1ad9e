"""The one exception that is shown to a user without a traceback."""


class RobustlensError(Exception):
    """Something the user can act on. The message says what is wrong, where, and what to do."""
