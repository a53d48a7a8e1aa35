"""Reinformer: return-to-go prediction by expectile regression, and conditioning on the prediction."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from cartpole_phys.utils.errors import InputError
from dt.data.windows import Batch
from dt.models.gpt import TransformerConfig
from dt.models.reinformer import Reinformer, ReinformerConfig
from dt.training.loop import train
from tests.support.small_models import (
    CONTEXT,
    CONTINUOUS,
    DISCRETE,
    make_episodes,
    make_spaces,
    random_batch,
    small_recipe,
)

SHAPE = TransformerConfig(layers=2, heads=2, width=16, activation="gelu", norm="post", dropout=0.0)
CONFIG = ReinformerConfig(context=CONTEXT, transformer=SHAPE)
both_action_spaces = pytest.mark.parametrize("continuous", [True, False], ids=[CONTINUOUS, DISCRETE])


def make_model(continuous: bool, config: ReinformerConfig = CONFIG) -> Reinformer:
    torch.manual_seed(0)
    return Reinformer(config, make_spaces(continuous)).eval()


def changed_at(batch: Batch, name: str, step: int) -> Batch:
    values = getattr(batch, name).clone()
    values[:, step] = 1 - values[:, step]
    return batch._replace(**{name: values})


@both_action_spaces
def test_return_predictions_do_not_attend_to_their_own_return(continuous: bool) -> None:
    model, batch = make_model(continuous), random_batch(continuous)
    features = model.features(batch)
    returns, actions = features[:, model.tokens.read_returns], features[:, model.tokens.read]
    assert returns.shape == actions.shape == (3, CONTEXT, 16)
    for step in range(CONTEXT):
        for name, attends_to_own in (("observations", True), ("returns_to_go", False), ("actions", False)):
            after = model.features(changed_at(batch, name, step))
            same = (after[:, model.tokens.read_returns] == returns).flatten(2).all(dim=2).all(dim=0)
            assert same.tolist() == [other < step + (not attends_to_own) for other in range(CONTEXT)]
        for name, attends_to_own in (("observations", True), ("returns_to_go", True), ("actions", False)):
            after = model.features(changed_at(batch, name, step))
            same = (after[:, model.tokens.read] == actions).flatten(2).all(dim=2).all(dim=0)
            assert same.tolist() == [other < step + (not attends_to_own) for other in range(CONTEXT)]


@pytest.mark.parametrize("expectile", [0.5, 0.9, 0.99])
def test_loss_is_minimal_at_the_expectile(expectile: float) -> None:
    """With one return in ten equal to 1 and the others 0, τ 0.1 (1 − e) = (1 − τ) 0.9 e."""
    model = make_model(True, replace(CONFIG, expectile=expectile))
    batch = random_batch(True, windows=10)
    batch = batch._replace(returns_to_go=(torch.arange(10) == 3).float()[:, None].expand(-1, CONTEXT))
    candidates, losses = torch.linspace(0.0, 1.0, 1_001), []
    with torch.no_grad():
        model.return_head.weight.zero_()
        for candidate in candidates:
            model.return_head.bias.fill_(candidate)
            losses.append(model.loss(batch))
    expected = 0.1 * expectile / (0.1 * expectile + 0.9 * (1.0 - expectile))
    assert candidates[torch.stack(losses).argmin()] == pytest.approx(expected, abs=1e-3)


@both_action_spaces
def test_actions_of_the_highest_return_are_selected(continuous: bool) -> None:
    """Nine of ten data actions are different and have a lower return."""
    torch.manual_seed(0)
    model = Reinformer(replace(CONFIG, context=1), make_spaces(continuous)).train()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    good = torch.arange(40) % 10 == 0
    taken = torch.where(good, 0.5, -0.5)[:, None, None] if continuous else good.long()[:, None]
    shape = (40, 1)
    batch = Batch(
        torch.randn(*shape, 4),
        taken,
        good.float()[:, None],
        torch.zeros(shape, dtype=torch.int64),
        torch.ones(shape, dtype=torch.bool),
    )
    for _ in range(150):
        optimizer.zero_grad()
        model.loss(batch._replace(observations=torch.randn(*shape, 4))).backward()
        optimizer.step()
    stream = model.eval().stream(7, torch.Generator())
    with torch.no_grad():
        actions = stream.act(torch.randn(7, 4), torch.zeros(7), torch.zeros(7), 0)
    if continuous:
        assert (actions > 0.3).all()
    else:
        assert actions.tolist() == [1] * 7


@both_action_spaces
def test_history_contains_predicted_returns_not_targets(continuous: bool) -> None:
    model, batch = make_model(continuous), random_batch(continuous)
    stream = model.stream(3, torch.Generator())
    returns = torch.zeros(3, 0)
    with torch.no_grad():
        for step in range(CONTEXT):
            actions = stream.act(batch.observations[:, step], torch.full((3,), 9.0), torch.zeros(3), step)
            history = Batch(*(part[:, : step + 1] for part in batch))
            history = history._replace(
                returns_to_go=torch.cat([returns, torch.full((3, 1), 5.0)], dim=1),
                timesteps=torch.arange(step + 1).expand(3, -1),
            )
            returns = torch.cat([returns, model.best_return(history)[:, None]], dim=1)
            assert torch.equal(actions, model.act(history._replace(returns_to_go=returns)))
            batch.actions[:, step] = actions


def test_training_with_zero_returns() -> None:
    episodes, losses = make_episodes(steps=300), []
    zero_rewards = replace(episodes, rewards=np.zeros_like(episodes.rewards))
    train(zero_rewards, small_recipe("reinformer"), on_progress=lambda step, loss: losses.append(loss))
    assert losses[1] < losses[0] < 10.0


def test_padding_is_excluded_from_the_loss() -> None:
    model, batch = make_model(True), random_batch(True, padding=2)
    before = model.loss(batch)
    other = random_batch(True, padding=2, seed=1)
    mixed = Batch(
        *(
            torch.where(batch.valid.view(*batch.valid.shape, *(1,) * (one.ndim - 2)), one, two)
            for one, two in zip(batch, other, strict=True)
        )
    )
    assert torch.equal(model.loss(mixed), before)


def test_invalid_settings_are_rejected() -> None:
    with pytest.raises(InputError, match=r"0 < expectile < 1, got 1\.0"):
        ReinformerConfig(expectile=1.0)
    with pytest.raises(InputError, match="at least 1 step, got 0"):
        ReinformerConfig(context=0)
