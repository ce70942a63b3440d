"""What goes wrong with data, said in one sentence."""


class DataError(Exception):
    """A data file is missing, damaged or not what it should be; the message is one sentence."""
