"""Model files that others offer for download."""
