"""Conversion of Decision Transformer weights between Hugging Face transformers and this package.

The transformers model is GPT-2 with the position embedding of position 0 for all tokens: a constant, which is
merged into the preceding LayerNorm bias here. Its heads for states and returns are untrained in both.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from dt.models.decision import DecisionTransformer
from dt.models.gpt import TransformerConfig

# theirs -> ours, for weights with equal layout
OUTSIDE = {
    "embed_timestep.weight": "tokens.embed_timestep.weight",
    "embed_ln.weight": "tokens.norm.weight",
    **{f"embed_return.{part}": f"tokens.embed_return.{part}" for part in ("weight", "bias")},
    **{f"embed_state.{part}": f"tokens.embed_observation.{part}" for part in ("weight", "bias")},
    **{f"embed_action.{part}": f"tokens.embed_action.{part}" for part in ("weight", "bias")},
    **{f"encoder.ln_f.{part}": f"transformer.final_norm.{part}" for part in ("weight", "bias")},
    **{f"predict_action.0.{part}": f"head.linear.{part}" for part in ("weight", "bias")},
}
NORMS = {"ln_1": "attention_norm", "ln_2": "mlp_norm"}
LINEARS = {"attn.c_proj": "attention.output", "mlp.c_fc": "inner", "mlp.c_proj": "outer"}
POSITIONS, NORM_BIAS = "encoder.wpe.weight", "embed_ln.bias"


def from_transformers(theirs: Mapping[str, Tensor], shape: TransformerConfig) -> dict[str, Tensor]:
    """Convert transformers weights to this package's names; its linear layers are transposed."""
    ours = {own: theirs[name] for name, own in OUTSIDE.items()}
    ours["tokens.norm.bias"] = theirs[NORM_BIAS] + theirs[POSITIONS][0]
    for i in range(shape.layers):
        their, our = f"encoder.h.{i}.", f"transformer.blocks.{i}."
        for part in ("weight", "bias"):
            ours |= {f"{our}{own}.{part}": theirs[f"{their}{name}.{part}"] for name, own in NORMS.items()}
            ours |= {
                f"{our}{own}.{part}": theirs[f"{their}{name}.{part}"].t() for name, own in LINEARS.items()
            }
            query, key_value = theirs[f"{their}attn.c_attn.{part}"].t().split([shape.width, 2 * shape.width])
            ours[f"{our}attention.query.{part}"] = query  # (D, D), or (D,)
            ours[f"{our}attention.key_value.{part}"] = key_value  # (2D, D), or (2D,)
    return ours


def to_transformers(model: DecisionTransformer) -> dict[str, Tensor]:
    """Convert weights to transformers names, without untrained heads and with zero position embeddings."""
    ours, width = model.state_dict(), model.config.transformer.width
    theirs = {name: ours[own] for name, own in OUTSIDE.items()}
    theirs[NORM_BIAS] = ours["tokens.norm.bias"]
    theirs[POSITIONS] = ours["tokens.norm.bias"].new_zeros(3 * model.config.context, width)
    for i in range(model.config.transformer.layers):
        their, our = f"encoder.h.{i}.", f"transformer.blocks.{i}."
        for part in ("weight", "bias"):
            theirs |= {f"{their}{name}.{part}": ours[f"{our}{own}.{part}"] for name, own in NORMS.items()}
            theirs |= {
                f"{their}{name}.{part}": ours[f"{our}{own}.{part}"].t() for name, own in LINEARS.items()
            }
            parts = [ours[f"{our}attention.{own}.{part}"] for own in ("query", "key_value")]
            theirs[f"{their}attn.c_attn.{part}"] = torch.cat(parts).t()  # (D, D) and (2D, D) -> (D, 3D)
    return theirs
