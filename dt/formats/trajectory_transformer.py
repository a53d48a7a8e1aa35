"""Import of Trajectory Transformers of transformers 4, such as ``CarlCochet/trajectory-transformer-*``.

These checkpoints contain weights but no bin edges, which are recomputed from the training data set.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from cartpole_phys.episodes import Episodes
from cartpole_phys.utils.errors import InputError
from dt.data.source import Spaces, describe
from dt.data.windows import Normalization
from dt.formats import hub, untrusted_weights
from dt.models.gpt import TransformerConfig
from dt.models.recipes import Recipe, create
from dt.models.trajectory import TrajectoryConfig
from dt.planning.beam import PlanConfig
from dt.training.checkpoint import Checkpoint
from dt.training.optimizer import TrainConfig

MODEL_TYPE = "trajectory_transformer"
NAMES = {  # theirs -> ours, in each block
    "ln1": "attention_norm",
    "ln2": "mlp_norm",
    "attn.query": "attention.query",
    "attn.proj": "attention.output",
    "l1": "inner",
    "l2": "outer",
}
SIZES = ("observation_dim", "action_dim", "transition_dim")
COUNTS = (*SIZES, "block_size", "vocab_size", "n_layer", "n_head", "n_embd")
CONTEXT = 5  # past steps in a plan's history, as in the authors' code


def load(source: str, episodes: Episodes) -> Checkpoint:
    """Load a checkpoint from a transformers folder or a Hugging Face Hub name.

    Args:
        source: a folder, or a name such as ``"CarlCochet/trajectory-transformer-halfcheetah-medium-v2"``.
        episodes: the training data of the model.

    Raises:
        InputError: if the checkpoint is missing, corrupt, of another kind or does not fit the data.
    """
    folder = hub.resolve_folder(source)
    settings, origin = hub.read_config(folder), describe(episodes)
    config = _config(settings, origin.spaces, folder)
    model = create("trajectory", config, origin.spaces)
    normalization = Normalization.of(episodes, origin.spaces)
    model.prepare(episodes, normalization)
    theirs = _weights(folder)
    try:
        ours = from_transformers(theirs, config, model.get_parameter("embed_place"))
        model.load_state_dict(ours, strict=False)  # bins are not among their weights
    except (KeyError, RuntimeError) as error:
        raise _corrupt(folder, error) from error
    return Checkpoint(Recipe("trajectory", config, TrainConfig()), origin, normalization, 0, model.eval(), {})


def from_transformers(
    theirs: Mapping[str, Tensor], config: TrajectoryConfig, places: Tensor
) -> dict[str, Tensor]:
    """Convert transformers weights to the names of this package.

    Args:
        theirs: weights by their names in transformers.
        config: the model's architecture.
        places: position embeddings (T, D) of this package; theirs lack the last position.
    """
    ours = {
        "embed_token.weight": theirs["tok_emb.weight"],
        "embed_place": torch.cat([theirs["pos_emb"][0], torch.zeros_like(places)])[: len(places)],
        "head.weight": theirs["head.weight"].flatten(0, 1),  # (P, N + 1, D) -> (P × (N + 1), D)
    }
    for part in ("weight", "bias"):
        ours[f"transformer.final_norm.{part}"] = theirs[f"ln_f.{part}"]
        for i in range(config.transformer.layers):
            their, our = f"blocks.{i}.", f"transformer.blocks.{i}."
            ours |= {f"{our}{own}.{part}": theirs[f"{their}{name}.{part}"] for name, own in NAMES.items()}
            both = [theirs[f"{their}attn.{name}.{part}"] for name in ("key", "value")]
            ours[f"{our}attention.key_value.{part}"] = torch.cat(both)  # 2 × (D, …) -> (2D, …)
    return ours


def _config(settings: Mapping[str, Any], spaces: Spaces, folder: Path) -> TrajectoryConfig:
    """Convert a transformers config to a ``TrajectoryConfig``.

    Raises:
        InputError: if it is of another kind, or for other observations or actions.
    """
    if settings.get("model_type") != MODEL_TYPE:
        raise InputError(f"Expected a {MODEL_TYPE} in {str(folder)!r}, got {settings.get('model_type')!r}.")
    per_step = spaces.observation_size + (spaces.action_size if spaces.continuous else 1) + 2
    sizes = (spaces.observation_size, per_step - spaces.observation_size - 2, per_step)
    try:
        wrong = [name for name in COUNTS if type(settings[name]) is not int]
        if wrong:
            raise TypeError(f"{wrong[0]} is {settings[wrong[0]]!r}")
        told = tuple(settings[name] for name in SIZES)
        context = -(-settings["block_size"] // per_step)
        config = TrajectoryConfig(
            context=context,
            bins=settings["vocab_size"],
            transformer=TransformerConfig(
                settings["n_layer"],
                settings["n_head"],
                settings["n_embd"],
                "gelu",
                dropout=settings["resid_pdrop"],
            ),
            plan=PlanConfig(horizon=max(context - CONTEXT, 1), context=min(CONTEXT, context - 1)),
        )
    except (KeyError, TypeError) as error:
        raise _corrupt(folder, error) from error
    if told != sizes:
        raise InputError(
            f"Expected a checkpoint for observations, actions and steps of {sizes} numbers, as in the data, "
            f"got {told}; pass the data that it was trained on."
        )
    return config


def _weights(folder: Path) -> dict[str, Tensor]:
    """Load all weights by name; pickles are restricted to tensors.

    Raises:
        InputError: if they are missing or corrupt.
    """
    path = folder / "model.safetensors"
    try:
        if path.exists():
            return load_file(path)
        return untrusted_weights.load(folder / "pytorch_model.bin")
    except (SafetensorError, UnpicklingError, RuntimeError, OSError, EOFError, ValueError) as error:
        raise _corrupt(folder, error) from error


def _corrupt(folder: Path, error: Exception) -> InputError:
    return InputError(
        f"Expected a transformers Trajectory Transformer in {str(folder)!r}, but it cannot be read "
        f"({type(error).__name__}: {' '.join(str(error).split())[:200]})."
    )
