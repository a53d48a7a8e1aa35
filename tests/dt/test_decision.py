"""Decision Transformer: causality, attention windows, the key–value cache and padding."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

import dt.models.decision
from cartpole_phys.utils.errors import InputError
from dt.data.windows import Batch
from dt.models.base import ActionHead
from dt.models.behavior_cloning import BehaviorCloning, CloningConfig
from dt.models.decision import DecisionConfig, DecisionStream, DecisionTransformer
from dt.models.gpt import TransformerConfig, causal_mask
from dt.models.history import History
from dt.models.tokens import LAST, InterleavedTokens
from tests.support.small_models import CONTEXT, make_spaces, random_batch

CONFIGS = [
    TransformerConfig(layers=3, heads=1, width=16),
    TransformerConfig(layers=2, heads=4, width=16, norm="post", activation="gelu"),
]


VARIANTS = [
    DecisionConfig(CONTEXT, CONFIGS[0]),
    DecisionConfig(CONTEXT, CONFIGS[1]),
    DecisionConfig(CONTEXT, CONFIGS[0], attention_window=2),
    DecisionConfig(CONTEXT, CONFIGS[1], tokens="summed"),
    DecisionConfig(CONTEXT, CONFIGS[0], tokens="summed", attention_window=2),
]
variants = pytest.mark.parametrize("config", VARIANTS, ids=["pre", "post", "sliding", "summed", "both"])


def make_model(continuous: bool, config: DecisionConfig = VARIANTS[0]) -> DecisionTransformer:
    torch.manual_seed(0)
    model = DecisionTransformer(config, make_spaces(continuous)).eval()
    for parameter in model.parameters():  # no parameter is 0, so every dependence has an effect
        parameter.data += 0.02 * torch.randn_like(parameter)
    return model


def predictions(model: DecisionTransformer, batch: Batch) -> Tensor:
    out: Tensor = model.head(model.features(batch))
    return out.detach()


def replaced(original: Tensor, other: Tensor, steps: slice) -> Tensor:
    changed = original.clone()
    changed[:, steps] = other[:, steps]
    return changed


def leaks_the_future(model: DecisionTransformer, continuous: bool, padding: int) -> bool:
    """Return whether a prediction depends on its own action or on later inputs."""
    batch, other = random_batch(continuous, padding=padding), random_batch(continuous, seed=1)
    before = predictions(model, batch)
    for step in range(padding, CONTEXT):
        later, action = slice(step + 1, None), slice(step, None)
        changed = Batch(
            replaced(batch.observations, other.observations, later),
            replaced(batch.actions, 1 - batch.actions, action),
            replaced(batch.returns_to_go, other.returns_to_go, later),
            replaced(batch.timesteps, other.timesteps, later),
            batch.valid,
        )
        past = slice(padding, step + 1)
        if not torch.equal(predictions(model, changed)[:, past], before[:, past]):
            return True
    return False


@pytest.mark.parametrize("padding", [0, 2])
@pytest.mark.parametrize("continuous", [True, False])
@variants
def test_predictions_are_causal_bit_for_bit(config: DecisionConfig, continuous: bool, padding: int) -> None:
    assert not leaks_the_future(make_model(continuous, config), continuous, padding)


def shifted_mask(valid: Tensor, *arguments: Any) -> Tensor:
    """Off-by-one mask: each query also attends to the next key."""
    mask = causal_mask(valid, *arguments)
    return mask | torch.roll(mask, -1, dims=2)


def no_mask(valid: Tensor, *arguments: Any) -> Tensor:
    """Bidirectional mask, as in an encoder."""
    return torch.ones_like(causal_mask(valid))


@pytest.mark.parametrize("mask", [shifted_mask, no_mask])
@variants
def test_causality_check_detects_a_leak(
    config: DecisionConfig, mask: Callable[..., Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dt.models.decision, "causal_mask", mask)
    assert leaks_the_future(make_model(True, config), True, padding=0)


@pytest.mark.parametrize("continuous", [True, False])
def test_summed_tokens_without_a_causal_mask_leak_the_target(
    continuous: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A common mistake: tokens contain their own actions, and the encoder has no causal mask.

    To predict the action after each token, such a network can copy it from the next token.
    """
    batch, model = random_batch(continuous), make_model(continuous, VARIANTS[3])

    def shifted_predictions(actions: Tensor) -> Tensor:
        """Predict for steps from 1 on, from tokens that contain their own action."""
        own = batch._replace(actions=torch.roll(actions, -1, dims=1))  # a token's next action is now its own
        return predictions(model, own)[:, :-1]

    changed = batch.actions.clone()
    changed[:, 2] = 1 - changed[:, 2]
    monkeypatch.setattr(dt.models.decision, "causal_mask", no_mask)
    assert (
        shifted_predictions(changed)[:, 1] != shifted_predictions(batch.actions)[:, 1]
    ).any()  # the prediction of the action of step 2
    monkeypatch.undo()
    before = predictions(model, batch)
    assert torch.equal(predictions(model, batch._replace(actions=changed))[:, : 2 + 1], before[:, : 2 + 1])


@pytest.mark.parametrize("continuous", [True, False])
@pytest.mark.parametrize("config", [VARIANTS[0], VARIANTS[1], VARIANTS[3]], ids=["pre", "post", "summed"])
def test_predictions_depend_on_all_earlier_inputs(config: DecisionConfig, continuous: bool) -> None:
    model, batch, other = (
        make_model(continuous, config),
        random_batch(continuous),
        random_batch(continuous, seed=1),
    )
    before, first = predictions(model, batch), slice(0, 1)
    for name in ("observations", "returns_to_go", "timesteps", "actions"):
        new = 1 - batch.actions if name == "actions" else getattr(other, name)
        changed = batch._replace(**{name: replaced(getattr(batch, name), new, first)})
        assert (predictions(model, changed)[:, -1] != before[:, -1]).any(), name


def test_receptive_field_of_sliding_window_attention() -> None:
    """3 layers with a window of 2 steps extend the receptive field by 3 steps."""
    model, batch, other = make_model(True, VARIANTS[2]), random_batch(True), random_batch(True, seed=1)
    assert model.context == 4
    before = predictions(model, batch)[:, -1]
    for step in range(CONTEXT):
        changed_step = slice(step, step + 1)
        changed = batch._replace(observations=replaced(batch.observations, other.observations, changed_step))
        assert (predictions(model, changed)[:, -1] != before).any() == (step >= CONTEXT - model.context)


@pytest.mark.parametrize("continuous", [True, False])
@pytest.mark.parametrize("config", [VARIANTS[2], VARIANTS[4]], ids=["interleaved", "summed"])
def test_key_value_cache_equals_the_full_history(config: DecisionConfig, continuous: bool) -> None:
    """Compare over several cycles of the ring buffer and within one context."""
    model, steps = make_model(continuous, config), 4 * CONTEXT
    parts = [random_batch(continuous, seed=seed) for seed in range(4)]
    whole = Batch(*(torch.cat(fields, dim=1) for fields in zip(*parts, strict=True)))
    whole = whole._replace(timesteps=torch.arange(steps).expand(len(whole.timesteps), -1))
    stream = model.stream(len(whole.timesteps), torch.Generator())
    assert isinstance(stream, DecisionStream)
    rewards = torch.zeros(len(whole.timesteps))
    for step in range(steps):
        actions = stream.act(whole.observations[:, step], whole.returns_to_go[:, step], rewards, step)
        whole.actions[:, step] = actions
        for first in {0, max(step + 1 - model.context, 0)}:
            history = Batch(*(field[:, first : step + 1] for field in whole))
            torch.testing.assert_close(model.act(history), actions, atol=1e-6, rtol=0)


def test_only_sliding_window_attention_uses_the_cache() -> None:
    for model in (make_model(True), BehaviorCloning(CloningConfig((8,)), make_spaces(True))):
        assert isinstance(model.stream(1, torch.Generator()), History)


@variants
def test_padding_does_not_affect_predictions(config: DecisionConfig) -> None:
    model, padding = make_model(True, config), 2
    batch, other = random_batch(True, padding=padding), random_batch(True, seed=1)
    values = (replaced(a, b, slice(0, padding)) for a, b in zip(batch[:4], other[:4], strict=True))
    changed = Batch._make((*values, batch.valid))
    assert torch.equal(predictions(model, batch)[:, padding:], predictions(model, changed)[:, padding:])
    assert torch.equal(model.loss(batch), model.loss(changed))
    cropped = Batch(*(field[:, padding:] for field in batch))
    torch.testing.assert_close(
        predictions(model, batch)[:, padding:], predictions(model, cropped), atol=1e-6, rtol=0
    )


@pytest.mark.parametrize("config", VARIANTS[:2], ids=["pre", "post"])
def test_reading_some_tokens_equals_reading_all(config: DecisionConfig) -> None:
    model, batch = make_model(True, config), random_batch(True)
    every = model.features(batch, slice(None))
    assert every.shape[1] == 3 * CONTEXT - 1
    for read in (InterleavedTokens.read, LAST):
        torch.testing.assert_close(model.features(batch, read), every[:, read], atol=1e-6, rtol=0)
    torch.testing.assert_close(model.act(batch), torch.tanh(model.head.linear(every[:, -1])))


def test_action_loss_ignores_padding() -> None:
    features, valid = torch.randn(2, 3, 8), torch.tensor([[0, 1, 1], [0, 0, 1]], dtype=torch.bool)
    head = ActionHead(8, make_spaces(True))
    actions = torch.rand(2, 3, 1)
    expected = ((head(features) - actions) ** 2)[valid].mean()
    torch.testing.assert_close(head.loss(features, actions, valid), expected)
    head = ActionHead(8, make_spaces(False))
    choices = torch.randint(2, (2, 3))
    likelihoods = head(features).softmax(dim=2).gather(2, choices[:, :, None])[:, :, 0]
    torch.testing.assert_close(head.loss(features, choices, valid), -likelihoods[valid].log().mean())
    assert torch.equal(head.decide(features[:, 0]), head(features[:, 0]).argmax(dim=1))


def test_behavior_cloning_uses_only_the_current_observation() -> None:
    model = BehaviorCloning(CloningConfig((8, 8)), make_spaces(True))
    batch, other = random_batch(True), random_batch(True, seed=1)
    history = other._replace(observations=replaced(other.observations, batch.observations, slice(-1, None)))
    assert torch.equal(model.act(batch), model.act(history))
    assert model.act(batch).shape == (3, 1)


@pytest.mark.parametrize(
    "wrong",
    [
        {"layers": 0},
        {"width": 10, "heads": 4},
        {"activation": "tanh"},
        {"norm": "none"},
        {"dropout": 1.0},
    ],
)
def test_invalid_transformer_configs_are_rejected(wrong: dict[str, object]) -> None:
    with pytest.raises(InputError):
        TransformerConfig(**wrong)  # type: ignore[arg-type]
    with pytest.raises(InputError):
        DecisionConfig(context=0)
    for window in (0, 21):
        with pytest.raises(
            InputError, match=f"attention window of 1 to 20 steps .the context., got {window}"
        ):
            DecisionConfig(context=20, attention_window=window)
    with pytest.raises(InputError, match="choose from interleaved, summed"):
        DecisionConfig(tokens="stacked")
    with pytest.raises(InputError):
        CloningConfig(hidden=())
