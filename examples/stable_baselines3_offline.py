"""Train SAC of Stable-Baselines3 offline, on a replay buffer filled with a data set.

python stable_baselines3_offline.py FILE [STEPS]
"""

import sys

import numpy as np
from stable_baselines3 import SAC
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.logger import Logger

import cartpole_phys

path, *rest = sys.argv[1:] or sys.exit(__doc__)
steps = int(rest[0]) if rest else 5_000
env, data, _ = cartpole_phys.make_env_and_dataset(path)  # a tenth of the episodes is held out
if data.actions.ndim == 1:
    sys.exit("SAC needs continuous actions, and this data set has discrete ones.")
model = SAC(
    "MlpPolicy", env, buffer_size=data.steps, policy_kwargs={"net_arch": [64, 64]}, seed=0, device="cpu"
)
model.set_logger(Logger(folder=None, output_formats=[]))

flat = data.as_d4rl()
for i in range(data.steps):
    # Stable-Baselines3 expects done for terminals and time limits, and a flag for time limits.
    done = flat["terminals"][i] | flat["timeouts"][i]
    model.replay_buffer.add(
        flat["observations"][i],
        flat["next_observations"][i],
        flat["actions"][i],
        flat["rewards"][i],
        np.array([done]),
        [{"TimeLimit.truncated": bool(flat["timeouts"][i])}],
    )
model.train(steps, batch_size=256)
mean, spread = evaluate_policy(model, env, n_eval_episodes=10, warn=False)
print(f"return {mean:.0f} ± {spread:.0f} after {steps} updates on {data.steps} transitions")
