"""Fixtures for the trainer's tests: small data sets, small models, random windows."""

from dataclasses import replace

import torch

from cartpole_phys.episodes import Episodes
from cartpole_phys.kernels.control_laws import BERNOULLI, PROPORTIONAL
from cartpole_phys.rollouts.collect import collect
from cartpole_phys.rollouts.policy import CompiledPolicy
from cartpole_phys.system import CartPole
from dt.data.source import Spaces
from dt.data.windows import Batch
from dt.models.behavior_cloning import CloningConfig
from dt.models.decision import DecisionConfig
from dt.models.energy import EnergyConfig
from dt.models.gpt import TransformerConfig
from dt.models.recipes import ModelConfig, Recipe
from dt.models.reinformer import ReinformerConfig
from dt.models.trajectory import TrajectoryConfig
from dt.models.value_based.cql import CQLConfig
from dt.models.value_based.iql import IQLConfig
from dt.models.value_based.td3bc import TD3BCConfig
from dt.planning.beam import PlanConfig
from dt.planning.refinement import RefinementConfig
from dt.training.optimizer import TrainConfig

# Models this small gain nothing from a second thread, and on a busy machine they wait for it.
torch.set_num_threads(1)

CONTINUOUS, DISCRETE = "PhysCartPole-v0", "PhysCartPoleDiscrete-v0"
CONTEXT = 5


def make_episodes(env_id: str = CONTINUOUS, steps: int = 1_500, seed: int = 0) -> Episodes:
    """Collect episodes of proportional control in an environment, with data set metadata."""
    rule = PROPORTIONAL if env_id == CONTINUOUS else BERNOULLI
    policy = CompiledPolicy(rule, (0.0, 0.0, 1.11, 0.0))
    episodes = collect(CartPole.from_id(env_id), policy, steps, seed)
    return replace(episodes, metadata={"env_id": env_id, "env_kwargs": {}, "dataset_name": "small"})


def small_recipe(kind: str = "decision", **train: object) -> Recipe:
    """Recipe of a model with dropout that trains in seconds."""
    models: dict[str, ModelConfig] = {
        "decision": DecisionConfig(CONTEXT, TransformerConfig(layers=2, heads=2, width=16, dropout=0.1)),
        "reinformer": ReinformerConfig(
            CONTEXT, TransformerConfig(layers=2, heads=2, width=16, norm="post", dropout=0.1)
        ),
        "trajectory": TrajectoryConfig(
            context=5,
            bins=8,
            transformer=TransformerConfig(layers=2, heads=2, width=16, dropout=0.1),
            plan=PlanConfig(horizon=2, beam_width=2, context=2),
        ),
        "energy": EnergyConfig(
            horizon=4,
            bins=8,
            transformer=TransformerConfig(layers=2, heads=2, width=16, dropout=0.1),
            refinement=RefinementConfig(iterations=4, executed=2),
        ),
        "bc": CloningConfig((16,)),
        "iql": IQLConfig((16,)),
        "cql": CQLConfig((16,)),
        "td3bc": TD3BCConfig((16,)),
    }
    settings = {"steps": 20, "batch_size": 8, "learning_rate": 3e-3, "warmup_steps": 5, "dtype": "float32"}
    return Recipe(kind, models[kind], TrainConfig(**{**settings, **train}))  # type: ignore[arg-type]


def make_spaces(continuous: bool) -> Spaces:
    """Spaces of the continuous or the discrete environment."""
    ends = ((-1.0,), (1.0,)) if continuous else ((), ())
    return Spaces(4, 1 if continuous else 2, continuous, 500, *ends)


def random_batch(continuous: bool, windows: int = 3, padding: int = 0, seed: int = 0) -> Batch:
    """Windows of random numbers whose first ``padding`` steps are masked."""
    generator = torch.Generator().manual_seed(seed)
    shape = (windows, CONTEXT)
    actions = torch.rand(*shape, 1, generator=generator) * 2 - 1
    if not continuous:
        actions = torch.randint(2, shape, generator=generator)
    return Batch(
        torch.randn(*shape, 4, generator=generator),
        actions,
        torch.rand(*shape, generator=generator),
        torch.randint(500, shape, generator=generator),
        (torch.arange(CONTEXT) >= padding).expand(shape),
    )
