"""Read a text file that the user names."""

import os
import stat


def read_text(path: str | os.PathLike, most: int) -> str:
    """Return what a text file holds, in UTF-8, without a byte-order mark, its line ends as newlines.

    Raises:
        ValueError: it cannot be read, is no regular file, no text, or longer than ``most`` characters; the message is
            what is said of the file, such as "is a folder".
    """
    try:
        mode = os.stat(path).st_mode
        if not stat.S_ISREG(mode):  # a pipe that nobody writes to would be waited for without an end
            raise ValueError("is a folder" if stat.S_ISDIR(mode) else "is not a regular file")
        with open(path, encoding="utf-8-sig") as file:
            text = file.read(most + 1)
    except OSError as error:
        raise ValueError(f"cannot be read: {error.strerror or error}") from None
    except UnicodeError:
        raise ValueError("is not a text file in UTF-8") from None
    if len(text) > most:
        raise ValueError(f"is longer than {most:,} characters")
    return text
