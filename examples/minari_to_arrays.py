"""Read an exported data set with Minari, and evaluate a policy: ``python minari_to_arrays.py ID``.

cartpole-phys export FILE --to minari     prints the id
"""

import sys

import minari
import numpy as np

identity, *_ = sys.argv[1:] or sys.exit(__doc__)
dataset = minari.load_dataset(identity)
print(f"{dataset.total_steps} transitions in {dataset.total_episodes} episodes")
returns = np.array([episode.rewards.sum() for episode in dataset.iterate_episodes()])
print("normalized score", float(np.mean(minari.get_normalized_score(dataset, returns))))

env = dataset.recover_environment()  # with the same physics
if env.action_space.shape != (1,):
    sys.exit("The control below pushes with a force of any size, and this environment takes other actions.")
observation, _ = env.reset(seed=0)
total, done = 0.0, False
while not done:
    action = np.clip(3.0 * observation[2:3], -1.0, 1.0)  # in the direction of the tilt
    observation, reward, terminated, truncated, _ = env.step(action)
    total, done = total + float(reward), terminated or truncated
print("return of proportional control", total)
