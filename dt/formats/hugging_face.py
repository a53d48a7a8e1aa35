"""Decision Transformers to and from Hugging Face's ``transformers``: folders, and names on its hub."""

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

OWN = "cartpole_phys"  # in config.json: what transformers has no place for
RETURN_SCALE = 1_000.0  # of the authors' own gym checkpoints
NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:e[-+]?\d+)?")
CARD = """---
library_name: transformers
tags: [decision-transformer, offline-rl]
---
A Decision Transformer trained on `{dataset}` ({env_id}). Observations are to be normalised with

mean = {mean}

std = {std}

and returns-to-go to be divided by {scale}. Actions that it reads and gives are (action - center) / reach with

center = {center}

reach = {reach}
"""


def save(checkpoint: Checkpoint, folder: Path) -> None:
    """Write a folder that ``DecisionTransformerModel.from_pretrained`` opens.

    Raises:
        InputError: if transformers has no such model, or the folder has something in it.
        OSError: if the folder cannot be written.
    """
    with require_extra("hf"):
        from transformers import DecisionTransformerModel

    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(
            f"Expected a new or empty folder, got {str(folder)!r}; remove it, or choose another."
        )
    model = checkpoint.model
    if not isinstance(model, DecisionTransformer) or not _is_theirs(model):
        raise InputError(
            "Expected a Decision Transformer with interleaved tokens, pre-norm blocks, continuous actions "
            "and without sliding attention, which is what transformers has; this is another model."
        )
    theirs = DecisionTransformerModel(_config(model))
    untrained = {name: torch.zeros_like(value) for name, value in theirs.state_dict().items()}
    theirs.load_state_dict(untrained | to_transformers(model))
    own = _Own(model.context, checkpoint.source, checkpoint.normalization)
    theirs.config.update({OWN: asdict(own)})
    with atomic_folder(folder) as partial, safetensors_errors():
        theirs.save_pretrained(partial)
        (partial / "README.md").write_text(_card(checkpoint), "utf-8")


def load(
    source: str | os.PathLike[str], env_id: str | None = None, return_scale: float | None = None
) -> Checkpoint:
    """A checkpoint from a folder that transformers wrote, or a name on its hub.

    Normalisation and environment are those that ``save`` wrote; else mean and std are read from the card, as
    the ``edbeeching/decision-transformer-gym-*`` have them, actions are raw, and the caller names the
    environment.

    Args:
        source: a folder, or a name such as ``"edbeeching/decision-transformer-gym-hopper-medium"``.
        env_id: the environment; may be left out where the checkpoint says it.
        return_scale: what returns are divided by, whatever is stated; by default that, or 1,000 as the
            authors have it.

    Raises:
        InputError: if there is no such checkpoint, or it is damaged, of another kind, or does not fit the
            environment, or a scale is not above 0.
    """
    if return_scale is not None and not 0.0 < return_scale < math.inf:
        raise InputError(f"Expected a return scale above 0, got {return_scale}.")
    folder = hub.resolve_folder(os.fspath(source))
    theirs = _opened(folder)
    own = _own_part(theirs.config, folder)
    origin = own.source if own and env_id is None else _origin(os.fspath(source), env_id, theirs.config)
    normalization = own.normalization if own else _normalization(folder, origin)
    if return_scale is not None:
        normalization = replace(normalization, return_scale=return_scale)
    config = _our_config(theirs.config, own.context if own else DecisionConfig.context)
    try:
        model = create("decision", config, origin.spaces)
        model.load_state_dict(from_transformers(theirs.state_dict(), config.transformer))
    except RuntimeError as error:  # of PyTorch, about sizes
        raise InputError(
            f"Expected weights in {str(folder)!r} that fit the spaces in its {hub.SETTINGS}, but they are "
            f"damaged ({' '.join(str(error).split())[:200]}); export the checkpoint again."
        ) from error
    return Checkpoint(Recipe("decision", config, TrainConfig()), origin, normalization, 0, model.eval(), {})


def _is_theirs(model: DecisionTransformer) -> bool:
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


def _our_config(theirs: DecisionTransformerConfig, context: int) -> DecisionConfig:
    """The shape of their model as ours.

    Raises:
        InputError: if it has something that ours has not.
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
                "such a model cannot be taken over."
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
class _Own:
    """What only we know of a checkpoint."""

    context: int
    source: Source
    normalization: Normalization


def _own_part(theirs: DecisionTransformerConfig, folder: Path) -> _Own | None:
    """What ``save`` wrote beside their own settings; nothing in others' checkpoints.

    Raises:
        InputError: if it is not as ``save`` writes it.
    """
    stated = getattr(theirs, OWN, None)
    if stated is None:
        return None
    try:
        return restore(_Own, stated)
    except ValueError as error:
        raise InputError(
            f"Expected context, source and normalization under {OWN!r} in {str(folder / hub.SETTINGS)!r}, "
            f"but they are damaged ({error!s:.200}); export the checkpoint again."
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
    """Their model, every weight of it from the folder; pickled ones are read as tensors only.

    Raises:
        InputError: if it is of another kind, damaged or incomplete.
    """
    with require_extra("hf"):
        from transformers import DecisionTransformerModel

    try:
        for pickled in folder.glob("*.bin"):
            untrusted_weights.require_safe(pickled)
        opened: Any = DecisionTransformerModel.from_pretrained(
            folder, output_loading_info=True, local_files_only=True
        )
        model, told = opened
    except Exception as error:  # of transformers, torch and safetensors, which raise many kinds
        raise InputError(
            f"Expected a Decision Transformer of transformers in {str(folder)!r}, but it cannot be opened "
            f"({' '.join(str(error).split())[:200]})."
        ) from error
    wrong = sorted({*told["missing_keys"], *(str(key) for key in told["mismatched_keys"])})
    if wrong:
        raise InputError(
            f"Expected {wrong[0]} among the weights in {str(folder)!r}, but it is not, or another."
        )
    return model


def _origin(source: str, env_id: str | None, theirs: DecisionTransformerConfig) -> Source:
    """Where a checkpoint is from that says little about it.

    Raises:
        InputError: if nobody names its environment, or it does not fit that.
    """
    if env_id is None:
        raise InputError(f"The checkpoint {source!r} does not say its environment; name it.")
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
    """Mean and std as a card tells them; returns and actions as others' models have them.

    Raises:
        InputError: if it does not, or tells too many or too few.
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
                f"{origin.dataset_name!r}, got {got}; put the right ones into its README.md."
            )
    size = origin.spaces.action_size
    return Normalization(numbers["mean"], numbers["std"], RETURN_SCALE, (0.0,) * size, (1.0,) * size)
