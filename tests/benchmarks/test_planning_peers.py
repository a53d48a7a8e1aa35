"""The planners' reference implementations are equivalent to the package's own."""

from dataclasses import replace

import torch
from torch import Tensor

from benchmarks.speeds.peers.masked_one_by_one import Loop, MaskedModel
from benchmarks.speeds.peers.uncached_search import UncachedSearch
from benchmarks.speeds.planning import planner
from dt.data.source import describe
from dt.data.windows import Normalization, Windows
from dt.models.gpt import TransformerConfig
from dt.models.trajectory import TrajectoryConfig
from dt.planning.beam import PlanConfig, search
from dt.training.optimizer import TrainConfig
from tests.support.small_models import make_episodes

SHAPE = TransformerConfig(layers=2, heads=2, width=16, dropout=0.0)


def test_uncached_search_finds_equally_good_plans() -> None:
    """With a wide enough beam, both search all plans."""
    wide = PlanConfig(horizon=2, beam_width=9, expansions=24, context=1, action_share=None)
    config = TrajectoryConfig(context=3, bins=3, transformer=SHAPE, plan=wide)
    model = planner(make_episodes(), config)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(4.0)
    history = torch.randint(3, (1, model.per_step + model.spaces.observation_size))
    found = search(model, history, wide, config.discount, torch.Generator().manual_seed(0))
    broad = replace(
        wide, beam_width=300, expansions=1
    )  # wide enough for all plans, since this beam keeps duplicates
    _, worth = UncachedSearch(model, broad, torch.Generator().manual_seed(1)).best(history)
    torch.testing.assert_close(worth, found.score[0], atol=1e-5, rtol=1e-5)


def test_training_with_masked_actions_reduces_the_loss() -> None:
    """The loss decreases although the predicted actions are masked."""
    episodes = make_episodes()
    spaces = describe(episodes).spaces
    windows = Windows(episodes, Normalization.of(episodes, spaces), 4, torch.device("cpu"))
    torch.manual_seed(0)
    model = MaskedModel(SHAPE, 4, spaces.observation_size, 3)

    def tokens(actions: Tensor) -> Tensor:
        return (actions[:, :, 0] > 0).long()

    loop = Loop(
        model, windows, tokens, TrainConfig(batch_size=32, learning_rate=1e-2, warmup_steps=0, clip=1.0)
    )
    losses = [loop.advance() for _ in range(60)]
    assert sum(losses[-5:]) < 0.7 * sum(losses[:5])
