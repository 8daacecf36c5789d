"""The contents of folders."""


def tree(folder):
    """Every path below `folder`, relative, with the bytes of regular files and None for others."""
    return {str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None
            for path in folder.rglob("*")}
