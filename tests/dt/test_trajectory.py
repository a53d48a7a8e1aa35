"""Trajectory Transformer: causality, tokens, losses and beam search."""

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from cartpole_phys.episodes import Episodes
from cartpole_phys.rollouts.collect import play
from cartpole_phys.system import CartPole
from cartpole_phys.utils.errors import InputError
from dt.data.source import Spaces, describe
from dt.data.token_windows import TokenBatch, TokenWindows, discounted_future_rewards, step_numbers
from dt.data.windows import Normalization
from dt.models.gpt import TransformerConfig
from dt.models.trajectory import TrajectoryConfig, TrajectoryTransformer
from dt.planning.beam import PlanConfig, filter_logits, search
from dt.policy import load
from dt.training.loop import train
from tests.support.small_models import CONTINUOUS, DISCRETE, make_episodes, small_recipe

SHAPE = TransformerConfig(layers=2, heads=2, width=16, dropout=0.0)
PLAN = PlanConfig(horizon=3, beam_width=4, expansions=2, context=2)
CONFIG = TrajectoryConfig(context=6, bins=8, transformer=SHAPE, plan=PLAN)
EXACT = 1e-5


def make_model(
    env_id: str = CONTINUOUS, config: TrajectoryConfig = CONFIG, seed: int = 0
) -> tuple[TrajectoryTransformer, TokenWindows, Episodes]:
    """Return an untrained model with large weights (so that predictions differ) and its data."""
    episodes = make_episodes(env_id)
    source = describe(episodes)
    torch.manual_seed(seed)
    model = TrajectoryTransformer(config, source.spaces).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.mul_(8.0)
    normalization = Normalization.of(episodes, source.spaces)
    model.prepare(episodes, normalization)
    return model, model.sampler(episodes, normalization, torch.device("cpu")), episodes


def test_values_are_discounted_within_an_episode() -> None:
    generator = np.random.default_rng(0)
    lengths = np.array([3, 1, 7, 4])
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    rewards = generator.normal(size=lengths.sum())
    found = discounted_future_rewards(rewards, offsets, 0.9)
    for first, last in itertools.pairwise(offsets):
        for row in range(first, last):
            after = rewards[row + 1 : last]
            assert found[row] == pytest.approx(after @ 0.9 ** np.arange(len(after)))


def test_windows_end_with_stop_tokens_after_termination() -> None:
    model, windows, episodes = make_model()
    normalization = Normalization.of(episodes, model.spaces)
    numbers = torch.as_tensor(step_numbers(episodes, normalization, 0.99, -100.0))
    known = model.discretizer.encode(numbers)
    fallen = int(np.flatnonzero(episodes.terminations)[0])
    tokens, valid = windows.at(torch.tensor([fallen - 2, 0]))
    assert torch.equal(tokens[0, :3], known[fallen - 2 : fallen + 1])
    assert (tokens[0, 3:] == model.stop).all()
    assert valid.all()
    assert torch.equal(tokens[1], known[:6])
    assert numbers[fallen, -2] == -100.0
    assert numbers[fallen, -1] == 0.0


def test_steps_after_truncation_are_not_valid() -> None:
    model, _, episodes = make_model()
    limited = replace(
        episodes,
        terminations=np.zeros(episodes.steps, bool),
        truncations=np.isin(np.arange(episodes.steps), episodes.offsets[1:] - 1),
    )
    windows = model.sampler(limited, Normalization.of(limited, model.spaces), torch.device("cpu"))
    tokens, valid = windows.at(torch.tensor([episodes.offsets[1] - 2]))
    assert valid[0].tolist() == [True, True, False, False, False, False]
    assert (tokens[0, 2:] == model.stop).all()
    before = model.loss(TokenBatch(tokens, valid))
    tokens[0, 2:] = 0
    assert torch.equal(before, model.loss(TokenBatch(tokens, valid)))


def test_action_tokens_have_their_loss_weight() -> None:
    model, windows, episodes = make_model(config=replace(CONFIG, action_weight=3.0))
    batch = windows.at(torch.tensor([episodes.steps - 3, 0, 40]))
    batch = batch._replace(valid=batch.valid & (torch.arange(6) < torch.tensor([[2], [6], [6]])))
    tokens = batch.tokens.flatten(1)
    shares = model.logits(tokens[:, :-1]).softmax(dim=2).detach()
    total = 0.0
    for window in range(3):
        for place in range(1, int(batch.valid[window].sum()) * model.per_step):
            weight = 3.0 if place % model.per_step == model.spaces.observation_size else 1.0
            total -= weight * math.log(shares[window, place - 1, tokens[window, place]])
    expected = total / (int(batch.valid.sum()) * model.per_step)
    assert float(model.loss(batch).detach()) == pytest.approx(expected, rel=1e-5)


def test_mask_is_causal_and_excludes_values() -> None:
    model, windows, _ = make_model()
    tokens = windows.at(torch.tensor([0])).tokens.flatten(1)
    before = model.logits(tokens)
    for place in range(tokens.shape[1]):
        changed = tokens.clone()
        changed[0, place] = (changed[0, place] + 1) % model.config.bins
        same = (model.logits(changed) == before)[0].all(dim=1)
        assert same[:place].all()
        assert not same[place]  # its own output is for the next token
        if place % model.per_step == model.per_step - 1:
            assert same[place + 1 :].all()


@torch.no_grad()
def _uncached_score(model: TrajectoryTransformer, history: Tensor, plan: Tensor, steps: int) -> Tensor:
    """Score of a plan (steps, P), with all tokens recomputed."""
    observed, score = model.spaces.observation_size, torch.zeros(())
    values = model.discretizer.values
    whole = torch.cat([history[0], plan[0, observed:], plan[1:].flatten()])[None]
    logits = model.logits(whole)[0].softmax(dim=1)[:, :-1]
    for step in range(steps):
        place = history.shape[1] - observed + (step + 1) * model.per_step - 2  # of the reward
        score = score + model.config.discount**step * logits[place - 1] @ values[-2]
        if step == steps - 1:
            score = score + model.config.discount ** (step + 1) * logits[place] @ values[-1]
    return score


@pytest.mark.parametrize("env_id", [CONTINUOUS, DISCRETE])
@pytest.mark.parametrize("steps_before", [0, 2])
def test_key_value_cache_matches_recomputation(env_id: str, steps_before: int) -> None:
    model, windows, _ = make_model(env_id)
    history = windows.at(torch.tensor([0, 40, 200])).tokens.flatten(1)
    history = history[:, : steps_before * model.per_step + model.spaces.observation_size]
    plans = search(model, history, PLAN, CONFIG.discount, torch.Generator().manual_seed(0))
    assert plans.tokens.shape == (3, PLAN.horizon, model.per_step)
    for episode in range(3):
        anew = _uncached_score(model, history[episode : episode + 1], plans.tokens[episode], PLAN.horizon)
        torch.testing.assert_close(plans.score[episode], anew, atol=EXACT, rtol=EXACT)


def test_wide_beam_finds_the_optimal_plan() -> None:
    """Compare with all action sequences, with the model's most likely tokens in between."""
    wide = PlanConfig(horizon=3, beam_width=27, expansions=24, context=0, action_share=None)
    config, missed = TrajectoryConfig(context=3, bins=3, transformer=SHAPE, plan=wide), 0
    for seed in range(3):
        model, windows, _ = make_model(config=config, seed=seed)
        history = windows.at(torch.tensor([0, 40])).tokens[:, 0, : model.spaces.observation_size]
        found, greedy = (
            search(
                model, history, replace(wide, beam_width=width), 0.99, torch.Generator().manual_seed(0)
            ).score
            for width in (27, 1)
        )
        for episode in range(2):
            worths = torch.stack(
                [
                    _exhaustive(model, history[episode : episode + 1], actions)
                    for actions in itertools.product(range(3), repeat=3)
                ]
            )
            assert worths.std() > 1e-2
            torch.testing.assert_close(found[episode], worths.max(), atol=EXACT, rtol=EXACT)
        missed += int((greedy < found - 1e-3).sum())
    assert missed  # otherwise a narrow beam would suffice


@torch.no_grad()
def _exhaustive(model: TrajectoryTransformer, history: Tensor, actions: tuple[int, ...]) -> Tensor:
    """Score of a sequence of actions."""
    tokens, seen = history, model.spaces.observation_size
    for step, action in enumerate(actions):
        tokens = torch.cat([tokens, torch.tensor([[action]])], dim=1)
        for _ in range(2 + (seen if step < len(actions) - 1 else 0)):
            tokens = torch.cat([tokens, model.logits(tokens)[:, -1:].argmax(dim=2)], dim=1)
    plan = torch.cat([torch.zeros(seen, dtype=torch.int64), tokens[0, seen:]]).view(-1, model.per_step)
    return _uncached_score(model, history, plan, len(actions))


def test_only_likely_tokens_are_sampled() -> None:
    shares = torch.tensor([[0.1, 0.5, 0.15, 0.25], [0.01, 0.01, 0.01, 0.97]])
    kept = filter_logits(shares.log(), 0.6, None).isfinite()
    assert kept.tolist() == [[False, True, False, False], [False, False, False, True]]
    kept = filter_logits(shares.log(), 0.3, None).isfinite()
    assert kept[0].tolist() == [False, True, False, True]
    assert filter_logits(shares.log(), None, 2).isfinite()[0].tolist() == [False, True, False, True]
    assert filter_logits(shares.log(), None, 9).isfinite().all()


def test_embeddings_differ_by_dimension_except_for_stop() -> None:
    model, _, _ = make_model()
    places = model.embed_place[: model.per_step]
    alike = (model.embed(torch.zeros(1, model.per_step, dtype=torch.int64))[0] - places).unique(dim=0)
    assert len(alike) == model.per_step
    stopped = model.embed(torch.full((1, model.per_step), model.stop))[0] - places
    torch.testing.assert_close(stopped, stopped[:1].expand_as(stopped))


@pytest.mark.parametrize("env_id", [CONTINUOUS, DISCRETE])
def test_planning_rollouts_are_reproducible_by_seed(env_id: str) -> None:
    checkpoint = train(make_episodes(env_id), small_recipe("trajectory", steps=3))
    first, repeated, other = (
        play(CartPole.from_id(env_id), load(checkpoint), 3, seed=seed) for seed in (0, 0, 1)
    )
    assert np.array_equal(first.actions, repeated.actions)
    assert first.steps != other.steps or not np.array_equal(first.actions, other.actions)
    values = checkpoint.model.discretizer.values[4]  # type: ignore[index]
    assert set(first.actions.ravel().tolist()) <= set(values.tolist())


def test_invalid_settings_are_rejected() -> None:
    with pytest.raises(InputError, match=r"at most 6 steps \(the training window\), got 5 and 3"):
        replace(CONFIG, plan=replace(PLAN, context=5))
    with pytest.raises(InputError, match="beam_width"):
        PlanConfig(beam_width=0)
    with pytest.raises(InputError, match="top_actions of at least 1"):
        PlanConfig(top_actions=0)
    with pytest.raises(InputError, match=r"0 <= action_share < 1, got 1\.0"):
        PlanConfig(action_share=1.0)


def test_each_discrete_action_requires_its_own_bin() -> None:
    model, _, episodes = make_model(DISCRETE)
    normalization = Normalization.of(episodes, model.spaces)
    eight, nine = (replace(episodes, actions=np.arange(episodes.steps) % count) for count in (8, 9))
    model.prepare(eight, normalization)
    assert model.discretizer.values[model.spaces.observation_size].tolist() == list(range(8))
    with pytest.raises(InputError, match=r"at least 9 bins, .* got 8; raise bins"):
        model.prepare(nine, normalization)


def test_tokens_match_the_spaces() -> None:
    assert make_model(DISCRETE)[0].per_step == 7
    two = Spaces(3, 2, True, 10, (-1.0, -1.0), (1.0, 1.0))
    assert TrajectoryTransformer(CONFIG, two).per_step == 7
