"""What the command says when it cannot do its work."""


class CommandError(Exception):
    """Printed as it is, without a traceback: for faults that the person at the terminal can do something about."""
