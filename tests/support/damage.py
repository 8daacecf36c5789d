"""Damage to the content of a file, chosen by hypothesis."""


def changed(content, changes):
    """`content` after some changes.

    Args:
      content: bytes.
      changes: list of (kind, position, bytes); the kind is 'set', 'delete', 'insert' or
        'truncate'.

    Returns:
      bytes.
    """
    content = bytearray(content)
    for kind, position, new in changes:
        end = position + len(new) or None
        if kind == "set":
            content[position:end] = new
        elif kind == "delete":
            del content[position:end]
        elif kind == "insert":
            content[position:position] = new
        elif position:
            del content[position:]
    return bytes(content)
