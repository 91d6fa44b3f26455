"""What reading and writing raise."""


class InvalidModel(ValueError):
    """The file, or the graph to be written, is not a model that this package can represent; one clear line."""
