"""Training of agents with Stable-Baselines3, with all checkpoints and a recording of all transitions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from gymnasium.spaces import Box
from stable_baselines3 import PPO, SAC
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.logger import Logger
from stable_baselines3.common.vec_env import VecEnv

from cartpole_phys.policies.training.cpu_arithmetic import one_thread
from cartpole_phys.policies.training.envs import TrainingEnvironment
from cartpole_phys.policies.training.recipe import TrainingRecipe
from cartpole_phys.policies.training.recorder import Recorder
from cartpole_phys.policies.training.run import TrainingRecording, TrainingRun, Weights
from cartpole_phys.utils.errors import InputError

OnCheckpoint = Callable[[int, float], None]  # (training steps so far, mean return of the agent)


def train(
    recipe: TrainingRecipe, environment: TrainingEnvironment, on_checkpoint: OnCheckpoint | None = None
) -> TrainingRun:
    """Train until the recipe's goal is reached, or for ``max_steps`` if it has none.

    Raises:
        InputError: if no checkpoint within ``max_steps`` lies in the goal's range, or the algorithm is SAC
            and the actions are discrete.
    """
    with one_thread():
        venv = environment.make(recipe.n_envs)
        _check_actions(recipe, venv)
        recorder = Recorder(venv, environment.state_reader(venv))
        checkpoints = Checkpoints(recipe, environment, on_checkpoint)
        new_model(recipe, recorder).learn(recipe.max_steps, callback=checkpoints)
    run = checkpoints.run(recorder.recording())
    _require_goal(recipe, run)
    return run


def new_model(recipe: TrainingRecipe, venv: VecEnv) -> BaseAlgorithm:
    """Create an untrained model; SAC's replay buffer has room for the whole run."""
    arguments = {name: value for name, value in recipe.hyperparameters.items() if name != "n_envs"}
    arguments["policy_kwargs"] = {"net_arch": list(arguments.pop("net_arch"))}
    if recipe.algorithm == "sac":
        arguments["buffer_size"] = recipe.max_steps
    algorithm = SAC if recipe.algorithm == "sac" else PPO
    model = algorithm("MlpPolicy", venv, seed=recipe.seed, device="cpu", **arguments)
    model.set_logger(Logger(folder=None, output_formats=[]))  # the default logger creates a folder in /tmp
    return model


def describe_network(recipe: TrainingRecipe, venv: VecEnv) -> dict[str, Any]:
    """Description of a model's network as a behavior policy, with D4RL's terms."""
    space = venv.action_space
    sac, box = recipe.algorithm == "sac", isinstance(space, Box)
    description: dict[str, Any] = {
        "kind": "network",
        "nonlinearity": "relu" if sac else "tanh",
        "output_distribution": "tanh_gaussian" if sac else "gaussian" if box else "categorical",
        "deterministic": recipe.deterministic,
    }
    if isinstance(space, Box):
        description |= {"action_low": space.low.tolist(), "action_high": space.high.tolist()}
    return description


def network_weights(model: BaseAlgorithm) -> Weights:
    """Copy of the actor's weights by D4RL's names, each (out, in) or (out,)."""
    if isinstance(model, SAC):
        state, layers = model.policy.actor.state_dict(), "latent_pi"
        last = {"last_fc": "mu", "last_fc_log_std": "log_std"}
    else:
        state, layers = model.policy.state_dict(), "mlp_extractor.policy_net"
        last = {"last_fc": "action_net"}
    hidden = sum(name.startswith(f"{layers}.") for name in state) // 2
    names = {f"fc{i}": f"{layers}.{2 * i}" for i in range(hidden)} | last  # odd layers are nonlinearities
    weights = {
        f"{ours}.{part}": state[f"{theirs}.{part}"].numpy().copy()
        for ours, theirs in names.items()
        for part in ("weight", "bias")
    }
    if "log_std" in state:
        weights["log_std"] = state["log_std"].numpy().copy()
    return weights


class Checkpoints(BaseCallback):
    """Callback that saves and evaluates the network at checkpoints, and stops training at the goal."""

    def __init__(
        self,
        recipe: TrainingRecipe,
        environment: TrainingEnvironment,
        on_checkpoint: OnCheckpoint | None,
    ) -> None:
        super().__init__()
        self.recipe, self.environment, self.on_checkpoint = recipe, environment, on_checkpoint
        self.description: Mapping[str, Any] = {}
        self.steps: list[int] = []
        self.mean_returns: list[float] = []
        self.weights: list[Weights] = []

    def run(self, recording: TrainingRecording) -> TrainingRun:
        """All checkpoints together with the recording."""
        return TrainingRun(
            description=self.description,
            steps=np.array(self.steps, dtype=np.int64),
            mean_returns=np.array(self.mean_returns),
            weights={name: np.stack([own[name] for own in self.weights]) for name in sorted(self.weights[0])},
            recording=recording,
        )

    def _on_training_start(self) -> None:
        self.description = describe_network(self.recipe, self.training_env)

    def _on_step(self) -> bool:
        recipe = self.recipe
        if self.num_timesteps % recipe.checkpoint_every >= recipe.n_envs:  # no checkpoint in this step
            return True
        weights = network_weights(self.model)
        mean_return = self.environment.score(
            self.description, weights, recipe.evaluation_episodes, recipe.seed
        )
        self.steps.append(self.num_timesteps)
        self.mean_returns.append(mean_return)
        self.weights.append(weights)
        if self.on_checkpoint is not None:
            self.on_checkpoint(self.num_timesteps, mean_return)
        return not self._reached()

    def _reached(self) -> bool:
        """Whether the last checkpoint is close to the target, or the nearest is accepted late in training."""
        goal = self.recipe.goal
        if goal is None:
            return False
        close = abs(self.mean_returns[-1] - goal.target_return) <= goal.close_enough
        nearest = min(self.mean_returns, key=lambda mean_return: abs(mean_return - goal.target_return))
        return close or (self.steps[-1] >= goal.settle_after and goal.accepts(nearest))


def _check_actions(recipe: TrainingRecipe, venv: VecEnv) -> None:
    if recipe.algorithm == "sac" and not isinstance(venv.action_space, Box):
        raise InputError(
            f"Expected continuous actions for SAC, got {venv.action_space} of {recipe.env_id!r}; train with "
            '"ppo" instead.'
        )


def _require_goal(recipe: TrainingRecipe, run: TrainingRun) -> None:
    goal = recipe.goal
    if goal is None:
        return
    nearest = float(run.mean_returns[run.nearest(goal.target_return)])
    if not goal.accepts(nearest):
        raise InputError(
            f"Expected a {recipe.algorithm.upper()} checkpoint with a mean return {goal.accepted} within "
            f"{recipe.max_steps} steps, got {nearest:.1f} as the nearest; try another --seed or more "
            "--train-steps."
        )
