"""Names of photos as files give them: relative, forward slashes, inside of the folder."""

from pathlib import PurePosixPath, PureWindowsPath


def check_photo_name(name: str, source: object) -> str:
    """`name` if it is a path below the images folder.

    Looks at the text only; whoever joins it to a folder uses `geo3d.util.files.path_inside`, which sees
    symbolic links too.

    Raises
    ------
    ValueError
        If it is empty, absolute, leads out of the folder by `..`, holds a control character, or is not UTF-8.
    """
    outside = (
        PurePosixPath(name).is_absolute()
        or PureWindowsPath(name).drive
        or ".." in name.replace("\\", "/").split("/")
    )
    if not name or outside or any(ord(c) < 32 or 0xD800 <= ord(c) < 0xE000 for c in name):
        raise ValueError(
            f"{source}: expected the name of a photo below the images folder, found {name!r}; refused"
        )
    return name
