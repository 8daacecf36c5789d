"""What the first bytes of a picture file tell, before a decoder sees it.

    recognize    the kind of a file
    least_bytes  how long the file must be
    webp_size    the size of a WebP picture
    jpeg_scans   how often a decoder goes through the pixels of a JPEG

People name files that are no pictures, or pictures that Pillow does not read. Words about such a
file help where a decoder's complaint does not.
"""

import re
import struct

from tf1cifar.data import base, signatures

HEAD = 4096  # number of bytes that tell the kind
MOST_JPEG_HEADER = 1 << 24  # bytes before the pixels; Pillow copies them many times
MOST_JPEG_SEGMENTS = 10_000
MOST_SCANS = 100
MOST_SCANNED = 4_000_000_000  # pixels in all scans of a JPEG, which take seconds

# What Pillow reads well, and the name of its plug-in for each.
PLUGINS = {"PNG": "Png", "JPEG": "Jpeg", "GIF": "Gif", "WebP": "WebP", "BMP": "Bmp", "TIFF": "Tiff",
           "AVIF": "Avif"}

SAVE_AS = "save it as JPEG or PNG"
HEIC = f"an HEIC photo, as iPhones take them; {SAVE_AS}, or set the camera to 'Most Compatible'"
RAW = f"a camera's RAW file; {SAVE_AS} with a photo program"
SOUND = "a sound file, no picture"
VIDEO = "a video; save one frame of it as JPEG or PNG"

# (offset, bytes there, a key of PLUGINS or words about the file); the first that fits counts. What
# else people take for pictures is in `signatures`.
SIGNATURES = (
    (0, b"\x89PNG\r\n\x1a\n", "PNG"), (0, b"\xff\xd8\xff", "JPEG"), (0, b"GIF87a", "GIF"),
    (0, b"GIF89a", "GIF"), (8, b"WEBP", "WebP"),
    (8, b"CR\x02", RAW), (0, b"IIU\0", RAW), (0, b"IIRO", RAW), (0, b"IIRS", RAW),
    (0, b"MMOR", RAW), (0, b"FUJIFILMCCD-RAW", RAW), (0, b"FOVb", RAW), (0, b"\0MRM", RAW),
    (0, b"II*\0", "TIFF"), (0, b"MM\0*", "TIFF"), (0, b"II+\0", "TIFF"), (0, b"MM\0+", "TIFF"),
    (0, b"\0\0\0\x0cJXL ", f"a JPEG XL picture; {SAVE_AS}"),
    (0, b"\xff\x0a", f"a JPEG XL picture; {SAVE_AS}"),
    (0, b"\0\0\0\x0cjP  ", f"a JPEG 2000 picture; {SAVE_AS}"),
    (0, b"\xff\x4f\xff\x51", f"a JPEG 2000 picture; {SAVE_AS}"),
    (0, b"8BPS", f"a Photoshop file; {SAVE_AS}"), (0, b"gimp xcf", f"a GIMP file; {SAVE_AS}"),
    (0, b"\0\0\1\0", f"an icon file; {SAVE_AS}"), (0, b"DDS ", f"a DDS picture; {SAVE_AS}"),
    (0, b"\x76\x2f\x31\x01", f"an OpenEXR picture; {SAVE_AS}"),
    (0, b"#?RADIANCE", f"a Radiance HDR picture; {SAVE_AS}"),
    (128, b"DICM", f"a medical DICOM picture; {SAVE_AS}"),
    (0, b"%PDF", f"a PDF document; {SAVE_AS}"), (0, b"%!PS", f"a PostScript file; {SAVE_AS}"),
    (0, b"\x1aE\xdf\xa3", VIDEO), (8, b"AVI ", VIDEO), (4, b"moov", VIDEO), (4, b"mdat", VIDEO),
    (4, b"wide", VIDEO), (0, b"\0\0\1\xba", VIDEO), (0, b"\0\0\1\xb3", VIDEO), (0, b"FLV\1", VIDEO),
    (0, b"OggS", VIDEO), (0, b"\x30\x26\xb2\x75", VIDEO),
    (8, b"WAVE", SOUND), (0, b"ID3", SOUND), (0, b"fLaC", SOUND),
    (0, b"PK\3\4", "a ZIP archive or an Office document; unpack it, or save its pictures"),
    (0, b"\xd0\xcf\x11\xe0", "an Office document or Windows' thumbnails, no picture"),
    (0, b"\x93NUMPY", f"a NumPy array; {SAVE_AS}"),
    (0, b"\x89PNG", "a PNG picture that was changed by a transfer in text mode; get it again"),
    (0, b"L\0\0\0\1\x14\2\0", "a Windows shortcut; name the picture itself"),
    (0, b"bplist", "a macOS property list, no picture"),
)
BMP_HEADERS = (12, 40, 52, 56, 64, 108, 124)  # the sizes of its versions


def recognize(head):
    """The kind of a file.

    Args:
      head: its first HEAD bytes, or all of them.

    Returns:
      A key of `PLUGINS` for a picture that can be read, otherwise words about the file, such as
      'an empty file; copy or download it again'.
    """
    if head[4:8] == b"ftyp":
        return _recognize_box(head)
    for offset, first, words in SIGNATURES:
        if head.startswith(first, offset):
            return words
    if head[:2] == b"BM" and int.from_bytes(head[14:18], "little") in BMP_HEADERS:
        return "BMP"
    if re.match(rb"P[1-7f]\s[\d#\s-]", head):
        return f"a Netpbm picture (PPM); {SAVE_AS}"
    return signatures.recognize(head, "picture") or f"no picture of a known kind; {SAVE_AS}"


def _recognize_box(head):
    """The kind of a file of MP4's family, by its main brand and the compatible ones."""
    length = min(int.from_bytes(head[:4], "big"), 256)
    main, brands = head[8:12], {head[start:start + 4] for start in range(8, length, 4)}
    if main in (b"avif", b"avis") or main in (b"mif1", b"msf1") and b"avif" in brands:
        return "AVIF"
    if main[:3] in (b"hei", b"hev") or brands & {b"mif1", b"mif2", b"msf1", b"miaf"}:
        return HEIC
    return RAW if main == b"crx " else VIDEO


# ---------------------------------------------------------------------------------------
# Sizes


def least_bytes(head, kind):
    """How long a file must be at least, where its first bytes tell.

    Args:
      head: its first HEAD bytes.
      kind: what `recognize` says.

    Returns:
      A number of bytes, 0 for kinds that do not tell.
    """
    if kind == "WebP":
        return 8 + int.from_bytes(head[4:8], "little")
    if kind == "TIFF" and head[2:4] in (b"*\0", b"\0*"):  # the place of the first directory
        return 2 + int.from_bytes(head[4:8], "little" if head[:1] == b"I" else "big")
    place = 0
    while kind == "AVIF" and place + 8 <= len(head):  # boxes, each with its length
        length = int.from_bytes(head[place:place + 4], "big")
        if length < 8:  # up to the end, or written in another way
            break
        place += length
    return place


def webp_size(head):
    """The (width, height) of a WebP picture, whose decoder takes memory for its pixels at once.

    Args:
      head: its first 30 bytes.
    """
    if head[12:16] == b"VP8X":
        return tuple(1 + int.from_bytes(head[at:at + 3], "little") for at in (24, 27))
    if head[12:16] == b"VP8L":
        bits = int.from_bytes(head[21:25], "little")
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    return tuple(int.from_bytes(head[at:at + 2], "little") & 0x3FFF for at in (26, 28))


_MARKER = re.compile(rb"\xff+([^\x00\xff\xd0-\xd7])")  # not the escapes and restarts within a scan


def jpeg_scans(content):
    """The number of scans of a JPEG, each of which takes the time of a whole picture.

    Progressive JPEGs have ten to twenty scans.

    Args:
      content: all bytes of the file.

    Raises:
      DataError: the JPEG would take far longer than its size tells.
    """
    place = scans = segments = components = pixels = 0
    progressive = True
    while marker := _MARKER.search(content, place):
        code, place = marker[1][0], marker.end()
        if code == 0xD9:  # end of the picture; other pictures may follow
            break
        if code in (0x01, 0xD8):  # they have no content
            continue
        segments += 1
        if 0xC0 <= code <= 0xCF and code not in (0xC4, 0xC8, 0xCC):  # start of a frame
            progressive = code not in (0xC0, 0xC1)
            height, width, components = struct.unpack_from(">HHB", content, place + 3)
            pixels = height * width
        elif code == 0xDA:  # start of a scan
            scans += 1
            if not progressive and content[place + 2:place + 3] == bytes([components]):
                return 1  # of all components, so it is the last
        if scans > MOST_SCANS or scans * pixels > MOST_SCANNED:
            raise base.DataError(f"JPEG of more than {scans - 1} scans, which would take very "
                                 f"long; {SAVE_AS} again")
        if segments > MOST_JPEG_SEGMENTS or not scans and place > MOST_JPEG_HEADER:
            raise base.DataError("JPEG with far more metadata than pictures have; "
                                 f"{SAVE_AS} again, without it")
        place += max(2, int.from_bytes(content[place:place + 2], "big"))
    return scans
