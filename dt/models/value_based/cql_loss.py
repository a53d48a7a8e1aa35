"""The losses of conservative Q-learning by TorchRL, with the penalty of its authors."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from tensordict import TensorDict
from torch import Tensor
from torchrl.objectives import CQLLoss


class ConservativeLoss(CQLLoss):  # type: ignore[misc]  # TorchRL has no types
    """CQL, whose penalty is log Σ exp of the values that actions have in a state of the data.

    TorchRL's own (0.14) takes the values of the next state's actions in that next state, and the mean of
    log-sum-exps of three actions each.

    Source: github.com/aviralkumar2907/CQL, ``d4rl/rlkit/torch/sac/cql.py``, ``min_q_version`` 3.
    """

    def cql_loss(self, tensordict: Any) -> tuple[Tensor, dict[str, Tensor]]:
        """How much more all actions promise than those in the data, both critics together.

        Args:
            tensordict: B transitions, in which ``q_loss`` has left what the critics say of their actions.
        """
        actions, log_densities = self._sampled(tensordict)
        values = self._values(tensordict["observation"], actions)  # (2, B, 3 × N)
        known = torch.stack([tensordict["pred_q1"], tensordict["pred_q2"]])  # (2, B, 1)
        soft_maxima = torch.logsumexp(values - log_densities, dim=-1, keepdim=True)
        return self.min_q_weight * (soft_maxima - known).sum(0).mean(), {}

    @torch.no_grad()
    def _sampled(self, tensordict: Any) -> tuple[Tensor, Tensor]:
        """Actions (B, 3 × N, act) at random, of the policy now and in the next state; their log-densities."""
        known = tensordict["action"]  # (B, act), on the device of all
        chance = known.new_empty(len(known), self.num_random, known.shape[-1]).uniform_(-1, 1)
        actions, log_densities = [chance], [chance.new_full(chance.shape[:2], known.shape[-1] * np.log(0.5))]
        with self.actor_network_params.to_module(self.actor_network):
            for transitions in (tensordict, tensordict["next"]):
                policy = self.actor_network.get_dist(transitions.select("observation"))
                raw = policy.base_dist.sample((self.num_random,))  # (N, B, act), before tanh
                own = policy.transforms[0](raw)
                # Not ``policy.log_prob(own)``: where tanh saturates, its inverse does not give ``raw`` back.
                volume = policy.transforms[0].log_abs_det_jacobian(raw, own).sum(-1)
                actions.append(own.transpose(0, 1))  # -> (B, N, act)
                log_densities.append((policy.base_dist.log_prob(raw) - volume).transpose(0, 1))  # -> (B, N)
        return torch.cat(actions, dim=1), torch.cat(log_densities, dim=1)

    def _values(self, observations: Tensor, actions: Tensor) -> Tensor:
        """What each critic says of A actions (B, A, act) in the states (B, obs): (2, B, A)."""
        states = observations[:, None].expand(-1, actions.shape[1], -1)  # (B, obs) -> (B, A, obs)
        asked = TensorDict({"observation": states, "action": actions}, actions.shape[:2])
        values = []
        for critic in range(self.num_qvalue_nets):
            with self.qvalue_network_params[critic].to_module(self.qvalue_network):
                values.append(self.qvalue_network(asked.copy())["state_action_value"].squeeze(-1))
        return torch.stack(values)
