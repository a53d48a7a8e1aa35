"""Export and import of Decision Transformers for Hugging Face ``transformers``."""

from __future__ import annotations

import math
import os
import re
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from cartpole_phys.data.declared_env import declared_backend
from cartpole_phys.utils.errors import InputError, require_extra
from cartpole_phys.utils.files import atomic_folder
from dt.data.source import UNKNOWN, Eligible, Source, spaces_of
from dt.data.windows import Normalization
from dt.formats import hub, untrusted_weights
from dt.formats.weight_names import from_transformers, to_transformers
from dt.models.decision import DecisionConfig, DecisionTransformer
from dt.models.gpt import ACTIVATIONS, TransformerConfig
from dt.models.recipes import Recipe, create
from dt.training.checkpoint import Checkpoint, restore, safetensors_errors
from dt.training.optimizer import TrainConfig

if TYPE_CHECKING:
    from transformers import DecisionTransformerConfig, DecisionTransformerModel

OWN = "cartpole_phys"  # key in config.json of the metadata that transformers does not store
RETURN_SCALE = 1_000.0  # of the authors' own gym checkpoints
NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:e[-+]?\d+)?")
CARD = """---
library_name: transformers
tags: [decision-transformer, offline-rl]
---
A Decision Transformer trained on `{dataset}` ({env_id}). Normalize observations with

mean = {mean}

std = {std}

and divide returns-to-go by {scale}. Actions are normalized as (action - center) / reach, in input and output,
with

center = {center}

reach = {reach}
"""


def save(checkpoint: Checkpoint, folder: Path) -> None:
    """Write a folder that ``DecisionTransformerModel.from_pretrained`` loads.

    Raises:
        InputError: if transformers does not support the model, or the folder is not empty.
        OSError: if the folder is not writable.
    """
    with require_extra("hf"):
        from transformers import DecisionTransformerModel

    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(f"Expected a new or empty folder, got {str(folder)!r}; remove it or choose another.")
    model = checkpoint.model
    if not isinstance(model, DecisionTransformer) or not _is_supported(model):
        raise InputError(
            "Expected a Decision Transformer with interleaved tokens, pre-norm blocks, continuous actions "
            "and no sliding-window attention, as transformers supports, got another model; export it to ONNX."
        )
    theirs = DecisionTransformerModel(_config(model))
    untrained = {name: torch.zeros_like(value) for name, value in theirs.state_dict().items()}
    theirs.load_state_dict(untrained | to_transformers(model))
    own = _Metadata(model.context, checkpoint.source, checkpoint.normalization)
    theirs.config.update({OWN: asdict(own)})
    with atomic_folder(folder) as partial, safetensors_errors():
        theirs.save_pretrained(partial)
        (partial / "README.md").write_text(_card(checkpoint), "utf-8")


def load(
    source: str | os.PathLike[str], env_id: str | None = None, return_scale: float | None = None
) -> Checkpoint:
    """Load a checkpoint from a transformers folder or a Hugging Face Hub name.

    Normalization and environment are those written by ``save``. Other checkpoints get mean and std from their
    model card, as in ``edbeeching/decision-transformer-gym-*``, and raw actions, and need ``env_id``.

    Args:
        source: a folder, or a name such as ``"edbeeching/decision-transformer-gym-hopper-medium"``.
        env_id: the environment; optional if the checkpoint contains it.
        return_scale: divisor of returns; by default that of the checkpoint, or 1,000 as in the authors' code.

    Raises:
        InputError: if the checkpoint is missing, corrupt, of another kind or does not fit the environment, or
            the scale is not positive.
    """
    if return_scale is not None and not 0.0 < return_scale < math.inf:
        raise InputError(f"Expected a return scale above 0, got {return_scale}.")
    folder = hub.resolve_folder(os.fspath(source))
    theirs = _opened(folder)
    own = _metadata_of(theirs.config, folder)
    origin = own.source if own and env_id is None else _provenance(os.fspath(source), env_id, theirs.config)
    normalization = own.normalization if own else _normalization(folder, origin)
    if return_scale is not None:
        normalization = replace(normalization, return_scale=return_scale)
    config = _decision_config(theirs.config, own.context if own else DecisionConfig.context)
    try:
        model = create("decision", config, origin.spaces)
        model.load_state_dict(from_transformers(theirs.state_dict(), config.transformer))
    except RuntimeError as error:  # of PyTorch, about sizes
        raise InputError(
            f"Expected weights in {str(folder)!r} that fit the spaces in its {hub.SETTINGS}, but they are "
            f"corrupt ({' '.join(str(error).split())[:200]}); export the checkpoint again."
        ) from error
    return Checkpoint(Recipe("decision", config, TrainConfig()), origin, normalization, 0, model.eval(), {})


def _is_supported(model: DecisionTransformer) -> bool:
    config = model.config
    plain = config.tokens == "interleaved" and config.attention_window is None
    return plain and config.transformer.norm == "pre" and model.spaces.continuous


def _config(model: DecisionTransformer) -> DecisionTransformerConfig:
    from transformers import DecisionTransformerConfig

    shape, spaces = model.config.transformer, model.spaces
    return DecisionTransformerConfig(
        state_dim=spaces.observation_size,
        act_dim=spaces.action_size,
        max_ep_len=spaces.max_episode_steps,
        hidden_size=shape.width,
        n_layer=shape.layers,
        n_head=shape.heads,
        n_positions=3 * model.config.context,
        activation_function=shape.activation,
        resid_pdrop=shape.dropout,
        embd_pdrop=shape.dropout,
        attn_pdrop=shape.dropout,
        bos_token_id=None,
        eos_token_id=None,
    )


def _decision_config(theirs: DecisionTransformerConfig, context: int) -> DecisionConfig:
    """Convert a transformers config to a ``DecisionConfig``.

    Raises:
        InputError: if the model uses an unsupported option.
    """
    expected = {
        "action_tanh": (True,),
        "layer_norm_epsilon": (1e-5,),
        "n_inner": (None, 4 * theirs.hidden_size),
        "scale_attn_weights": (True,),
        "scale_attn_by_inverse_layer_idx": (False,),
        "activation_function": tuple(ACTIVATIONS),
    }
    for name, allowed in expected.items():
        if getattr(theirs, name) not in allowed:
            raise InputError(
                f"Expected {name} to be {' or '.join(map(str, allowed))}, got {getattr(theirs, name)!r}; "
                "import a model with this option."
            )
    shape = TransformerConfig(
        theirs.n_layer,
        theirs.n_head,
        theirs.hidden_size,
        theirs.activation_function,
        dropout=theirs.resid_pdrop,
    )
    return DecisionConfig(context, shape)


@dataclass(frozen=True)
class _Metadata:
    """Checkpoint metadata that transformers does not store."""

    context: int
    source: Source
    normalization: Normalization


def _metadata_of(theirs: DecisionTransformerConfig, folder: Path) -> _Metadata | None:
    """Read the metadata written by ``save``; None in other checkpoints.

    Raises:
        InputError: if the metadata are corrupt.
    """
    stated = getattr(theirs, OWN, None)
    if stated is None:
        return None
    try:
        return restore(_Metadata, stated)
    except ValueError as error:
        raise InputError(
            f"Expected context, source and normalization under {OWN!r} in {str(folder / hub.SETTINGS)!r}, "
            f"but they are corrupt ({error!s:.200}); export the checkpoint again."
        ) from error


def _card(checkpoint: Checkpoint) -> str:
    normalization, source = checkpoint.normalization, checkpoint.source
    return CARD.format(
        dataset=source.dataset_name,
        env_id=source.env_id,
        mean=list(normalization.observation_mean),
        std=list(normalization.observation_std),
        scale=normalization.return_scale,
        center=list(normalization.action_center),
        reach=list(normalization.action_reach),
    )


def _opened(folder: Path) -> DecisionTransformerModel:
    """Load the transformers model with all weights from the folder; pickles are restricted to tensors.

    Raises:
        InputError: if it is of another kind, corrupt or incomplete.
    """
    with require_extra("hf"):
        from transformers import DecisionTransformerModel

    try:
        for pickled in folder.glob("*.bin"):
            untrusted_weights.require_safe(pickled)
        opened: Any = DecisionTransformerModel.from_pretrained(
            folder, output_loading_info=True, local_files_only=True
        )
        model, info = opened
    except Exception as error:  # transformers, torch and safetensors raise many types
        raise InputError(
            f"Expected a transformers Decision Transformer in {str(folder)!r}, but it cannot be loaded "
            f"({' '.join(str(error).split())[:200]})."
        ) from error
    wrong = sorted({*info["missing_keys"], *(str(key) for key in info["mismatched_keys"])})
    if wrong:
        raise InputError(
            f"Expected {wrong[0]} among the weights in {str(folder)!r}, but it is missing or has another "
            "shape; export the checkpoint again."
        )
    return model


def _provenance(source: str, env_id: str | None, theirs: DecisionTransformerConfig) -> Source:
    """Provenance of a checkpoint without metadata.

    Raises:
        InputError: if ``env_id`` is None, or the checkpoint does not fit the environment.
    """
    if env_id is None:
        raise InputError(f"Expected the environment of checkpoint {source!r}, got none; pass it (--env).")
    spaces = spaces_of(declared_backend({"env_id": env_id}))
    expected = (spaces.observation_size, spaces.action_size if spaces.continuous else 0)
    if (theirs.state_dim, theirs.act_dim) != expected:
        raise InputError(
            f"Expected a checkpoint for observations and actions of {expected[0]} and {expected[1]} numbers, "
            f"as {env_id} has, got one for {theirs.state_dim} and {theirs.act_dim}."
        )
    unknown = float("nan")
    spaces = replace(spaces, max_episode_steps=theirs.max_ep_len)
    eligible = Eligible(UNKNOWN, episodes=0, rows=0, sha256="")
    return Source(env_id, {}, source, "", eligible, spaces, unknown, unknown, unknown)


def _normalization(folder: Path, origin: Source) -> Normalization:
    """Parse mean and std from a model card, with the default return scale and raw actions.

    Raises:
        InputError: if one is missing, has the wrong length or is not positive.
    """
    card = folder / "README.md"
    text = card.read_text("utf-8", "replace") if card.is_file() else ""
    numbers = {}
    for name in ("mean", "std"):
        found = re.search(rf"\b{name}\s*=\s*\[([^\]]*)\]", text)
        numbers[name] = tuple(float(word) for word in NUMBER.findall(found[1])) if found else ()
        lowest, positive = (-math.inf, "") if name == "mean" else (0.0, " above 0")
        fits = len(numbers[name]) == origin.spaces.observation_size
        if not fits or min(numbers[name]) <= lowest:
            got = f"{min(numbers[name])} among them" if fits else len(numbers[name])
            raise InputError(
                f"Expected {name} of {origin.spaces.observation_size} numbers{positive} in the card of "
                f"{origin.dataset_name!r}, got {got}; correct its README.md."
            )
    size = origin.spaces.action_size
    return Normalization(numbers["mean"], numbers["std"], RETURN_SCALE, (0.0,) * size, (1.0,) * size)
