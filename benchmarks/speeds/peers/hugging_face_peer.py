"""The usual implementation: transformers' DecisionTransformerModel on sliced trajectories.

The sampler reimplements that of github.com/kzl/decision-transformer: episodes by length, a uniform start,
left padding, one window at a time in NumPy.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import DecisionTransformerConfig, DecisionTransformerModel

from cartpole_phys.episodes import Episodes
from dt.data.windows import Normalization

CLIP = 0.25
CPU = torch.device("cpu")


class SlicingSampler:
    """Sampler of windows from a list of trajectories."""

    def __init__(self, episodes: Episodes, normalization: Normalization, context: int, limit: int) -> None:
        self.episodes = [
            (episode.observations, episode.actions, episode.rewards.astype(np.float64))
            for episode in episodes
        ]
        lengths = episodes.lengths
        self.shares, self.context, self.limit = lengths / lengths.sum(), context, limit
        self.mean = np.array(normalization.observation_mean)
        self.std = np.array(normalization.observation_std)
        self.scale = normalization.return_scale
        self.random = np.random.default_rng(0)

    def sample(self, batch_size: int) -> dict[str, Tensor]:
        """A batch as the model's keyword arguments."""
        chosen = self.random.choice(len(self.episodes), batch_size, p=self.shares)
        windows = [self._window(*self.episodes[index]) for index in chosen]
        names = ("states", "actions", "rewards", "returns_to_go", "timesteps", "attention_mask")
        return {
            name: torch.from_numpy(np.concatenate(arrays))
            for name, arrays in zip(names, zip(*windows, strict=True), strict=True)
        }

    def _window(self, observations: Any, actions: Any, rewards: Any) -> tuple[Any, ...]:
        start = int(self.random.integers(len(rewards)))
        stop = min(start + self.context, len(rewards))
        padding = self.context - (stop - start)
        seen = (observations[start:stop] - self.mean) / self.std
        to_go = _sums_to_the_end(rewards[start:])[: stop - start] / self.scale
        timesteps = np.minimum(np.arange(start, stop), self.limit - 1)

        def padded(array: Any, value: float, dtype: Any) -> Any:
            head = np.full((padding, *array.shape[1:]), value)
            return np.concatenate([head, array])[None].astype(dtype)  # (K, …) -> (1, K, …)

        return (
            padded(seen, 0.0, np.float32),
            padded(actions[start:stop], -10.0, np.float32),
            padded(rewards[start:stop, None], 0.0, np.float32),
            padded(to_go[:, None], 0.0, np.float32),
            padded(timesteps, 0, np.int64),
            padded(np.ones(stop - start), 0, np.int64),
        )


def _sums_to_the_end(rewards: Any) -> Any:
    """Returns-to-go of an episode, summed step by step as in the original."""
    sums = np.zeros_like(rewards)
    sums[-1] = rewards[-1]
    for step in reversed(range(len(rewards) - 1)):
        sums[step] = rewards[step] + sums[step + 1]
    return sums


def model(episodes: Episodes, limit: int, layers: int, heads: int, width: int) -> DecisionTransformerModel:
    """The transformers model for these data."""
    return DecisionTransformerModel(
        DecisionTransformerConfig(
            state_dim=episodes.observations.shape[1],
            act_dim=episodes.actions.shape[1],
            max_ep_len=limit,
            hidden_size=width,
            n_layer=layers,
            n_head=heads,
            n_positions=1024,
            activation_function="relu",
            bos_token_id=None,
            eos_token_id=None,
        )
    )


class Loop:
    """The usual training loop."""

    def __init__(
        self,
        theirs: DecisionTransformerModel,
        sampler: SlicingSampler,
        batch_size: int,
        device: torch.device = CPU,
    ) -> None:
        theirs.train().to(device)
        self.model, self.sampler, self.batch_size, self.device = theirs, sampler, batch_size, device
        self.optimizer = torch.optim.AdamW(theirs.parameters(), lr=1e-4, weight_decay=1e-4)

    def advance(self) -> None:
        """Take one gradient step."""
        sampled = self.sampler.sample(self.batch_size)
        batch = {name: values.to(self.device) for name, values in sampled.items()}
        out: Any = self.model(**batch)
        valid = batch["attention_mask"].bool()
        loss = ((out.action_preds - batch["actions"]) ** 2)[valid].mean()
        self.optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), CLIP)
        self.optimizer.step()


@torch.inference_mode()
def act(theirs: DecisionTransformerModel, history: dict[str, Tensor]) -> Tensor:
    """The action for the last step of a history, with padding masked."""
    out: Any = theirs(**history)
    return torch.as_tensor(out.action_preds[:, -1])
