"""Why a file isn't kept."""


class Refusal(Exception):
    """`code` is one of shared.contracts.errors; the text is for our logs and never quotes the file."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code
