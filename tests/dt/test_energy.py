"""Energy model: energies match their definition, and refinement lowers them."""

from dataclasses import replace
from itertools import pairwise, product

import numpy as np
import pytest
import torch
from torch import Tensor

from cartpole_phys.episodes import Episodes
from cartpole_phys.rollouts.collect import play
from cartpole_phys.system import CartPole
from cartpole_phys.utils.errors import InputError
from dt.data.discretizer import QUANTILE
from dt.data.source import Spaces, describe
from dt.data.windows import Normalization, Windows
from dt.models.energy import EnergyConfig, EnergyModel, left_aligned
from dt.models.gpt import TransformerConfig
from dt.planning.refinement import RefinementConfig, refine
from dt.policy import load
from dt.training.loop import train
from tests.support.small_models import CONTINUOUS, DISCRETE, make_episodes, small_recipe

SHAPE = TransformerConfig(layers=2, heads=2, width=16, dropout=0.0)
CONFIG = EnergyConfig(horizon=4, bins=8, transformer=SHAPE, refinement=RefinementConfig(6, executed=2))
ENVS = [CONTINUOUS, DISCRETE]
EXACT = 1e-5


def make_model(
    env_id: str = CONTINUOUS, config: EnergyConfig = CONFIG
) -> tuple[EnergyModel, Windows, Episodes]:
    """Return an untrained model with large weights (so that predictions differ) and its data."""
    episodes = make_episodes(env_id)
    source = describe(episodes)
    torch.manual_seed(0)
    model = EnergyModel(config, source.spaces).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(4.0)
    normalization = Normalization.of(episodes, source.spaces)
    model.prepare(episodes, normalization)
    return model, Windows(episodes, normalization, model.window, torch.device("cpu")), episodes


@torch.no_grad()
def _reference(model: EnergyModel, observation: Tensor, plan: Tensor, known: Tensor) -> Tensor:
    """Compute the energy by definition: in temporal order, with one position masked at a time."""
    parts = torch.zeros(model.size)
    for place in torch.nonzero(known).flatten().tolist():
        tokens = model.embed_token(plan + torch.arange(model.size) % model.per_step * model.bins)
        tokens = torch.where((torch.arange(model.size) == place)[:, None], model.embed_masked, tokens)
        tokens = torch.cat([model.embed_observation(observation)[None], tokens + model.embed_place])
        mask = torch.cat([torch.ones(1, dtype=torch.bool), known]).expand(model.size + 1, -1)
        features = model.transformer(tokens[None], mask[None, None])[0, place + 1]
        logits = model.head(features).view(model.per_step, model.bins)[place % model.per_step]
        logits = logits.masked_fill(~model.discretizer.used[place % model.per_step], -torch.inf)
        parts[place] = -logits.log_softmax(dim=0)[plan[place]]
    return parts


@pytest.mark.parametrize("env_id", ENVS)
def test_batched_energy_equals_sequential_energy(env_id: str) -> None:
    model, windows, episodes = make_model(env_id)
    ends = torch.tensor([0, 40, episodes.offsets[1] - 2])  # the last window crosses the end of an episode
    batch = left_aligned(windows.at(ends))
    plans = model.tokens(batch.actions)
    with torch.no_grad():
        found = model.energies(batch.observations[:, 0], plans, batch.valid)
    assert batch.valid.sum() == 10
    expected = torch.stack(
        [_reference(model, *row) for row in zip(batch.observations[:, 0], plans, batch.valid, strict=True)]
    )
    torch.testing.assert_close(found, expected, atol=EXACT, rtol=EXACT)
    torch.testing.assert_close(model.loss(windows.at(ends)), expected.sum() / 10, atol=EXACT, rtol=EXACT)


def test_each_action_component_has_its_own_token() -> None:
    torch.manual_seed(0)
    model = EnergyModel(CONFIG, Spaces(3, 2, True, 10, (-1.0, -1.0), (1.0, 1.0))).eval()
    model.discretizer.fit(np.random.default_rng(0).normal(size=(200, 2)))
    actions = torch.randn(5, 4, 2)
    plans = model.tokens(actions)
    assert plans.shape == (5, model.size) == (5, 8)
    assert torch.equal(plans[:, 3], model.discretizer.encode(actions[:, 1])[:, 1])
    observations, known = torch.randn(5, 3), torch.ones(8, dtype=torch.bool)
    expected = torch.stack([_reference(model, *row, known) for row in zip(observations, plans, strict=True)])
    torch.testing.assert_close(model.energies(observations, plans).detach(), expected, atol=EXACT, rtol=EXACT)


def test_predicted_action_is_masked() -> None:
    model, windows, _ = make_model()
    batch = windows.at(torch.tensor([0]))
    observation, plans = batch.observations[:, 0], model.tokens(batch.actions)
    places = torch.arange(model.size)[None]
    before = model.logits(observation, plans, places)[0]
    for place in range(model.size):
        changed = plans.clone()
        changed[0, place] = (changed[0, place] + 1) % model.bins
        same = (model.logits(observation, changed, places)[0] == before).all(dim=1)
        assert same.tolist() == [other == place for other in range(model.size)]


def test_padding_is_moved_to_the_end_and_masked() -> None:
    model, windows, episodes = make_model()
    start = int(episodes.offsets[1]) - 2
    batch = windows.at(torch.tensor([start]))
    aligned = left_aligned(batch)
    assert batch.valid[0].tolist() == [False, False, True, True]
    assert aligned.valid[0].tolist() == [True, True, False, False]
    assert torch.equal(aligned.observations[0, :2], batch.observations[0, 2:])
    before = model.loss(batch)
    batch.actions[0, :2] = 0.5
    batch.observations[0, :2] = 9.0
    assert torch.equal(model.loss(batch), before)


def test_descent_is_monotone_and_reaches_a_local_minimum() -> None:
    model, windows, _ = make_model()
    observations = windows.at(torch.arange(0, 800, 100)).observations[:, 0]
    descent = RefinementConfig(iterations=60, descend=True)
    with torch.no_grad():
        plans = list(refine(model, observations, descent, torch.Generator().manual_seed(0)))
        energies = torch.stack([model.energies(observations, one).sum(dim=1) for one in plans])
        assert (energies.diff(dim=0) <= EXACT).all()
        assert (energies[-1] < energies[0] - EXACT).any()
        for place in range(model.size):
            places = torch.full((len(observations), 1), place)
            likeliest = model.logits(observations, plans[-1], places).argmax(dim=2)
            changed = plans[-1].scatter(1, places, likeliest)
            assert (model.energies(observations, changed).sum(dim=1) >= energies[-1] - EXACT).all()


def test_each_iteration_maximizes_one_conditional_probability() -> None:
    model, windows, _ = make_model()
    observations = windows.at(torch.arange(0, 800, 100)).observations[:, 0]
    plans = list(refine(model, observations, RefinementConfig(10), torch.Generator().manual_seed(0)))
    places = torch.arange(model.size).expand(len(observations), -1)
    assert torch.equal(plans[0], model.initial_logits(observations).argmax(dim=2))
    for before, after in pairwise(plans):
        likeliest = model.logits(observations, before, places).argmax(dim=2)
        assert ((after != before).sum(dim=1) <= 1).all()
        assert torch.equal(torch.where(after != before, likeliest, before), after)
    assert not torch.equal(plans[0], plans[-1])


@pytest.fixture(scope="module")
def trained() -> tuple[EnergyModel, Windows]:
    """A model trained on the actions of a controller, with all bins in use."""
    episodes = make_episodes()
    recipe = small_recipe("energy", steps=300, batch_size=32, learning_rate=1e-2, clip=1.0)
    assert isinstance(recipe.model, EnergyConfig)
    checkpoint = train(episodes, replace(recipe, model=replace(recipe.model, binning=QUANTILE)))
    model = checkpoint.model.eval()
    assert isinstance(model, EnergyModel)
    return model, Windows(episodes, checkpoint.normalization, model.window, torch.device("cpu"))


@torch.no_grad()
def test_plans_from_data_have_lower_energy_than_random_plans(trained: tuple[EnergyModel, Windows]) -> None:
    model, windows = trained
    batch = left_aligned(windows.sample(256, torch.Generator().manual_seed(1)))
    whole = batch.valid.all(dim=1)
    observations, plans = batch.observations[whole, 0], model.tokens(batch.actions[whole])
    random = torch.randint(model.bins, plans.shape, generator=torch.Generator().manual_seed(2))
    own, others = (model.energies(observations, some).sum(dim=1) for some in (plans, random))
    assert own.mean() < others.mean() - 1.0


@torch.no_grad()
def test_refined_plans_are_near_the_exhaustive_optimum(trained: tuple[EnergyModel, Windows]) -> None:
    model, windows = trained
    observations = windows.sample(8, torch.Generator().manual_seed(3)).observations[:, -1]
    every = torch.tensor(list(product(range(model.bins), repeat=model.size)))
    best = torch.stack(
        [model.energies(one.expand(len(every), -1), every).sum(dim=1).min() for one in observations]
    )
    generator = torch.Generator().manual_seed(4)
    plans = list(refine(model, observations, RefinementConfig(20, descend=True), generator))
    first, last = (model.energies(observations, plans[number]).sum(dim=1).mean() for number in (0, -1))
    assert best.mean() <= last < first
    assert last - best.mean() < 0.5 * (first - best.mean())


def test_continuous_actions_have_uniform_bins() -> None:
    """With uniform bins, the most likely bin is where the action density is highest."""
    model, *_ = make_model()
    widths = model.discretizer.edges[0].diff()
    assert torch.allclose(widths, widths.mean(), rtol=1e-4)


@pytest.mark.parametrize("env_id", ENVS)
@pytest.mark.parametrize("executed", [1, 3])
def test_replanning_after_the_configured_number_of_steps(env_id: str, executed: int) -> None:
    model, windows, _ = make_model(env_id, replace(CONFIG, refinement=RefinementConfig(5, executed)))
    observations = windows.at(torch.arange(0, 70, 10)).observations[:, 0]  # (7, obs)
    stream = model.stream(2, torch.Generator().manual_seed(0))
    generator, zeros = torch.Generator().manual_seed(0), torch.zeros(2)
    for step in range(7):
        if step % executed == 0:
            now = observations[[step, 0]]
            *_, plans = refine(model, now, model.config.refinement, generator)
        decoded = model.discretizer.decode(plans.unflatten(1, (-1, 1)))[:, step % executed]
        actions = stream.act(observations[[step, 0]], zeros, zeros, step)
        assert torch.equal(actions, decoded if env_id == CONTINUOUS else decoded[:, 0].long())


@pytest.mark.parametrize("env_id", ENVS)
def test_energy_rollouts_are_reproducible_by_seed(env_id: str) -> None:
    checkpoint = train(make_episodes(env_id), small_recipe("energy", steps=3))
    first, repeated = (play(CartPole.from_id(env_id), load(checkpoint), 3, seed=0) for _ in range(2))
    assert np.array_equal(first.actions, repeated.actions)
    assert isinstance(checkpoint.model, EnergyModel)
    assert set(first.actions.ravel().tolist()) <= set(checkpoint.model.discretizer.values[0].tolist())


def test_invalid_settings_are_rejected() -> None:
    with pytest.raises(InputError, match="at most 4 steps of a plan, its horizon, got 5"):
        replace(CONFIG, refinement=RefinementConfig(executed=5))
    with pytest.raises(InputError, match="executed of at least 1, got 6 and 0"):
        RefinementConfig(6, executed=0)
    with pytest.raises(InputError, match="horizon of at least 2 steps, got 1"):
        EnergyConfig(horizon=1)
    with pytest.raises(InputError, match="2 or more discrete actions, got 1"):
        EnergyModel(CONFIG, Spaces(4, 1, False, 500, (), ()))
