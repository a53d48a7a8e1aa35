"""TD3+BC (Fujimoto and Gu, 2021) in one file, CORL style: ``python corl_style_td3_bc.py FILE [STEPS]``."""

import copy
import sys

import torch
from torch import nn

import cartpole_phys

path, *rest = sys.argv[1:] or sys.exit(__doc__)
loaded = cartpole_phys.load_dataset(path)
flat = {key: torch.as_tensor(x).float() for key, x in cartpole_phys.qlearning_dataset(loaded).items()}
if flat["actions"].ndim == 1:
    sys.exit("TD3+BC needs continuous actions, and this data set has discrete ones.")
mean, std = flat["observations"].mean(0), flat["observations"].std(0)
size, width = flat["observations"].shape[1], flat["actions"].shape[1]
torch.manual_seed(0)
actor = nn.Sequential(nn.Linear(size, 64), nn.ReLU(), nn.Linear(64, width), nn.Tanh())
critic = nn.Sequential(nn.Linear(size + width, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 1))
models = nn.ModuleList([actor, critic])
old_actor, old_critic = old = copy.deepcopy(models)
optimizer = torch.optim.Adam(models.parameters(), lr=3e-4)
for _ in range(int(rest[0]) if rest else 5_000):
    rows = torch.randint(len(flat["rewards"]), (256,))
    now, then = ((flat[key][rows] - mean) / std for key in ("observations", "next_observations"))
    acted, rewards, ends = (flat[key][rows] for key in ("actions", "rewards", "terminals"))
    following = old_critic(torch.cat([then, old_actor(then)], 1))[:, 0].detach()
    error = critic(torch.cat([now, acted], 1))[:, 0] - rewards - 0.99 * (1 - ends) * following
    value = critic(torch.cat([now, actor(now)], 1))
    cloning = ((actor(now) - acted) ** 2).mean()
    losses = (error**2).mean(), cloning - 2.5 * value.mean() / value.abs().mean().detach()
    optimizer.zero_grad()
    for loss, model in zip(losses, (critic, actor), strict=True):
        loss.backward(inputs=list(model.parameters()))
    optimizer.step()
    for slow, fast in zip(old.parameters(), models.parameters(), strict=True):
        slow.data.lerp_(fast.data, 0.005)
policy = lambda observations: actor((torch.as_tensor(observations) - mean) / std).detach().numpy()  # noqa: E731
print("score", cartpole_phys.evaluate(policy, loaded.metadata["env_id"], episodes=20).score)
