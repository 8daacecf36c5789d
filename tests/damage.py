"""Damages a file's content the way fuzzing asks for."""


def changed(content, changes):
    content = bytearray(content)
    for what, position, new in changes:
        end = position + len(new) or None
        if what == "set":
            content[position:end] = new
        elif what == "delete":
            del content[position:end]
        elif what == "insert":
            content[position:position] = new
        elif position:
            del content[position:]
    return bytes(content)
