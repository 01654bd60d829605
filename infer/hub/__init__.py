"""Model files that others offer: which there are (listing), what a hub has of them (repository), download, convert."""

from infer.request import SpeechError


class FetchError(SpeechError):
    """Why a model did not come, and the cure."""
