"""The colours around the pictures of a sheet."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Theme:
    """Colours as #rrggbb: of the paper, of texts, of less important texts, of frames, and of what is the input's."""

    background: str
    ink: str
    faint: str
    line: str
    accent: str


THEMES = {
    "light": Theme("#ffffff", "#1a1a1a", "#6b6b6b", "#c4c4c4", "#1f5fbf"),
    "dark": Theme("#16181d", "#f0f0f0", "#a7adb7", "#4b515c", "#7fb0ff"),
}
