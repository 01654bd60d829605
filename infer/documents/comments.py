"""The comment in a sound file's metadata, found without its decoder: a stranger's file only has to be looked at.

Each reader takes one pass over the bytes that are there, and gives "" for a comment that is not, or not as this
program's own encoders leave it.
"""

from infer.documents.clips import id3_number, kind_of

INFO = 4096  # bytes of a wav in which libsndfile's own comment begins


def comment_of(data: bytes) -> str:
    """data: the file or its beginning. Raises ValueError for what is none of wav, flac, ogg, opus and mp3."""
    kind = "mp3" if data[:3] == b"ID3" else kind_of(data)
    if kind not in _READERS:
        raise ValueError("it is no wav, flac, mp3, ogg or opus file")
    return _READERS[kind](data)


def _wav(data: bytes) -> str:
    """However long: libsndfile writes it whole, but reads none of more than 2,045 bytes."""
    at = data.find(b"ICMT", 12, INFO)
    size = _number(data, at + 4)
    return _text(data[at + 8 : at + 8 + size].rstrip(b"\0")) if at > 0 else ""


def _flac(data: bytes) -> str:
    at = 4
    while at + 4 <= len(data):
        kind, size = data[at], int.from_bytes(data[at + 1 : at + 4], "big")
        if kind & 127 == 4:
            return _vorbis(data[at + 4 : at + 4 + size])
        if kind & 128:  # the last one
            break
        at += 4 + size
    return ""


def _ogg(data: bytes) -> str:
    """The second packet of Vorbis and of Opus holds it, over as many pages as it takes."""
    packet, number, at = bytearray(), 0, 0
    while data[at : at + 4] == b"OggS" and at + 27 <= len(data):
        lacing = data[at + 27 : at + 27 + data[at + 26]]
        at += 27 + len(lacing)
        for size in lacing:
            packet += data[at : at + size]
            at += size
            if size < 255:  # a packet ends
                number += 1
                if number == 2:
                    return _vorbis(bytes(packet[8 if packet[:8] == b"OpusTags" else 7 :]))
                packet.clear()
    return ""


def _vorbis(block: bytes) -> str:
    """The comment of a Vorbis comment header, which flac and Opus use, too."""
    at = 4 + _number(block, 0) + 4  # behind the encoder's name and the number of entries
    while at + 4 <= len(block):
        size = _number(block, at)
        if block[at + 4 : at + 12].upper() == b"COMMENT=":
            return _text(block[at + 12 : at + 4 + size])
        at += 4 + size
    return ""


def _mp3(data: bytes) -> str:
    """The Latin-1 comment of an ID3 tag of version 2.3 or 2.4."""
    at, end = 10, min(len(data), 10 + id3_number(data[6:10])) if data[:3] == b"ID3" else 0
    while at + 10 <= end:
        size = id3_number(data[at + 4 : at + 8]) if data[3] == 4 else int.from_bytes(data[at + 4 : at + 8], "big")
        if data[at : at + 4] == b"COMM" and data[at + 10 : at + 11] == b"\0":
            _, _, text = data[at + 14 : min(at + 10 + size, end)].partition(b"\0")  # behind the language and a title
            return text.rstrip(b"\0").decode("latin-1")
        at += 10 + size
    return ""


def _number(data: bytes, at: int) -> int:
    return int.from_bytes(data[at : at + 4], "little")


def _text(data: bytes) -> str:
    return data.decode("utf-8", "replace")


_READERS = {"wav": _wav, "flac": _flac, "ogg": _ogg, "mp3": _mp3}
