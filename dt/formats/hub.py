"""Checkpoints as Hugging Face's libraries keep them: folders, and names on its hub."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cartpole_phys.utils.errors import InputError, require_extra
from cartpole_phys.utils.files import parse_json

SETTINGS = "config.json"
FILES = [SETTINGS, "*.safetensors", "*.bin", "README.md"]


def resolve_folder(source: str) -> Path:
    """The folder itself, or what the hub has under a name.

    Raises:
        InputError: if there is neither, or Hugging Face's library is not installed.
    """
    if Path(source).is_dir():
        return Path(source)
    with require_extra("hf"):
        from huggingface_hub import snapshot_download
        from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    try:
        return Path(snapshot_download(source, allow_patterns=FILES))
    except (HfHubHTTPError, HFValidationError, OSError, ValueError) as error:
        raise InputError(
            f"Expected a folder that transformers wrote, or a name on its hub, but {source!r} is no folder "
            f"and could not be fetched ({' '.join(str(error).split())[:200]})."
        ) from error


def read_config(folder: Path) -> dict[str, Any]:
    """What a checkpoint's config.json says.

    Raises:
        InputError: if there is none, or it is damaged.
    """
    path = folder / SETTINGS
    try:
        said = parse_json(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(
            f"Expected a checkpoint of transformers in {str(folder)!r}, but its {SETTINGS} cannot be read "
            f"({' '.join(str(error).split())[:200]})."
        ) from error
    if not isinstance(said, dict):
        raise InputError(f"Expected settings by name in {str(path)!r}, got {type(said).__name__}.")
    return said
