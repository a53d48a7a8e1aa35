"""TorchRL's CQL loss with the penalty of the original authors."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from tensordict import TensorDict
from torch import Tensor
from torchrl.objectives import CQLLoss


class ConservativeLoss(CQLLoss):  # type: ignore[misc]  # TorchRL has no types
    """CQL loss whose penalty is a log-sum-exp over actions of their Q-values in the data's state.

    TorchRL's version (0.14) evaluates the next state's actions in that next state, and averages log-sum-exps
    over three actions each.

    Source: github.com/aviralkumar2907/CQL, ``d4rl/rlkit/torch/sac/cql.py``, ``min_q_version`` 3.
    """

    def cql_loss(self, tensordict: Any) -> tuple[Tensor, dict[str, Tensor]]:
        """Compute the penalty: log-sum-exp of Q over sampled actions minus Q of data actions, both critics.

        Args:
            tensordict: B transitions with the critics' values of data actions, from ``q_loss``.
        """
        actions, log_densities = self._sampled(tensordict)
        values = self._values(tensordict["observation"], actions)  # (2, B, 3 × N)
        known = torch.stack([tensordict["pred_q1"], tensordict["pred_q2"]])  # (2, B, 1)
        soft_maxima = torch.logsumexp(values - log_densities, dim=-1, keepdim=True)
        return self.min_q_weight * (soft_maxima - known).sum(0).mean(), {}

    @torch.no_grad()
    def _sampled(self, tensordict: Any) -> tuple[Tensor, Tensor]:
        """Sample actions (B, 3 × N, act), uniform and from the policy at s and s', with log-densities."""
        data = tensordict["action"]  # (B, act); sampled actions are on its device
        uniform = data.new_empty(len(data), self.num_random, data.shape[-1]).uniform_(-1, 1)
        actions, log_densities = (
            [uniform],
            [uniform.new_full(uniform.shape[:2], data.shape[-1] * np.log(0.5))],
        )
        with self.actor_network_params.to_module(self.actor_network):
            for transitions in (tensordict, tensordict["next"]):
                policy = self.actor_network.get_dist(transitions.select("observation"))
                raw = policy.base_dist.sample((self.num_random,))  # (N, B, act), before tanh
                squashed = policy.transforms[0](raw)
                # Not ``policy.log_prob(squashed)``: atanh does not recover ``raw`` where tanh saturates.
                volume = policy.transforms[0].log_abs_det_jacobian(raw, squashed).sum(-1)
                actions.append(squashed.transpose(0, 1))  # -> (B, N, act)
                log_densities.append((policy.base_dist.log_prob(raw) - volume).transpose(0, 1))  # -> (B, N)
        return torch.cat(actions, dim=1), torch.cat(log_densities, dim=1)

    def _values(self, observations: Tensor, actions: Tensor) -> Tensor:
        """Q-values (2, B, A) of both critics for A actions (B, A, act) in states (B, obs)."""
        states = observations[:, None].expand(-1, actions.shape[1], -1)  # (B, obs) -> (B, A, obs)
        inputs = TensorDict({"observation": states, "action": actions}, actions.shape[:2])
        values = []
        for critic in range(self.num_qvalue_nets):
            with self.qvalue_network_params[critic].to_module(self.qvalue_network):
                values.append(self.qvalue_network(inputs.copy())["state_action_value"].squeeze(-1))
        return torch.stack(values)
