"""Access to Hugging Face checkpoints: local folders and models on the Hub."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cartpole_phys.utils.errors import InputError, require_extra
from cartpole_phys.utils.files import parse_json

SETTINGS = "config.json"
FILES = [SETTINGS, "*.safetensors", "*.bin", "README.md"]


def resolve_folder(source: str) -> Path:
    """Return the folder ``source``, or download the Hub model of that name.

    Raises:
        InputError: if neither exists, or huggingface_hub is not installed.
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
            f"Expected a transformers folder or a name on the Hub, got {source!r}, which is not a folder "
            f"and cannot be downloaded ({' '.join(str(error).split())[:200]})."
        ) from error


def read_config(folder: Path) -> dict[str, Any]:
    """Read a checkpoint's config.json.

    Raises:
        InputError: if it is missing or corrupt.
    """
    path = folder / SETTINGS
    try:
        config = parse_json(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(
            f"Expected a transformers checkpoint in {str(folder)!r}, but its {SETTINGS} cannot be read "
            f"({' '.join(str(error).split())[:200]})."
        ) from error
    if not isinstance(config, dict):
        raise InputError(f"Expected a JSON object in {str(path)!r}, got {type(config).__name__}.")
    return config
