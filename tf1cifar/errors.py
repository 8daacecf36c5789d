"""The exceptions that end a script with one line instead of a traceback, see `console.run`."""


class UserError(Exception):
    """The request cannot be fulfilled as it was made. Printed as one line; exit status 2."""


class Failure(Exception):
    """A valid request failed (disk, network, TensorFlow). Printed as one line; exit status 1."""


class Interrupted(Exception):
    """A signal ended the work. Printed as one line; exit status 128 plus the signal's number.

    Args:
      message: str.
      number: the signal's number.
    """

    def __init__(self, message, number):
        super().__init__(message)
        self.number = number
