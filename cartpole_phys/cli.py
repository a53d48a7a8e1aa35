"""The command line: ``cartpole-phys`` with its subcommands, and ``build-dataset``."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from cartpole_phys import commands
from cartpole_phys.data.building.build import Options
from cartpole_phys.data.building.build import build as build_recipe
from cartpole_phys.data.building.rebuild import rebuild
from cartpole_phys.data.building.write import Built
from cartpole_phys.data.checks.run import check_with
from cartpole_phys.data.exports.export import FORMATS, export
from cartpole_phys.data.fetch import fetch
from cartpole_phys.data.provenance import Differences, describe_differences
from cartpole_phys.data.recipe import Recipe
from cartpole_phys.data.release.release import publish_plan, release
from cartpole_phys.data.report.show import show, write_page
from cartpole_phys.data.tiers import tiers_of
from cartpole_phys.play import DEFAULT_ENV, SHOVE_FRACTION, Game, PlaySession, play_in_window, setup_for
from cartpole_phys.policies.behavior import KINDS
from cartpole_phys.policies.resolve import NAMES
from cartpole_phys.utils.errors import InputError, require_suffix
from cartpole_phys.utils.files import parse_json
from cartpole_phys.utils.parallel import processors

POLICIES = ", ".join(KINDS)
TIER_HELP = "; ".join(f"{policy}: {', '.join(tiers_of(policy))}" for policy in KINDS)
FACTORY = "MODULE:FACTORY or MODULE:FACTORY(ARGUMENTS)"
UNPROVEN = 1  # exit code: a gate failed or was not proven, or a rebuilt array differs

app = typer.Typer(
    help="CartPole physics: build and validate offline-RL data sets, and watch policies in a window.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def parse_env_kwargs(text: str) -> dict[str, Any]:
    """Parse environment arguments from a JSON object.

    Raises:
        InputError: if the text is not a JSON object.
    """
    try:
        value = parse_json(text)
    except ValueError as error:
        raise InputError(f"Expected --env-kwargs as a JSON object, got {text!r:.200} ({error}).") from error
    if not isinstance(value, dict):
        raise InputError(
            f'Expected --env-kwargs as a JSON object like {{"integrator": "euler"}}, got {text!r:.200}.'
        )
    return value


@app.command("build")
def build(
    policy: Annotated[
        str,
        typer.Option(help=f"Behavior policy: {POLICIES}, or a custom policy as {FACTORY}."),
    ] = "sac",
    tier: Annotated[str | None, typer.Option(help=f"Quality tier. {TIER_HELP}.")] = None,
    env: Annotated[str, typer.Option(help="Gymnasium environment id.")] = DEFAULT_ENV,
    env_kwargs: Annotated[str, typer.Option(help="Environment arguments as a JSON object.")] = "{}",
    name: Annotated[str | None, typer.Option(help="File name without its extension.")] = None,
    steps: Annotated[
        int | None,
        typer.Option(
            help="Number of transitions; by default 1000000 per policy, or the whole replay buffer."
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="Random seed of training and collection.")] = 0,
    deterministic: Annotated[
        bool,
        typer.Option(
            "--deterministic/--stochastic", help="Mean action of a trained agent, or sampled actions."
        ),
    ] = False,
    train_steps: Annotated[
        int | None,
        typer.Option(help="Training steps of agents; by default a number measured for the environment."),
    ] = None,
    shard_steps: Annotated[
        int | None, typer.Option(help="Write a folder of shards with this many transitions each.")
    ] = None,
    d4rl_v2: Annotated[
        bool, typer.Option("--d4rl-v2-metadata", help="Also write D4RL's metadata groups.")
    ] = False,
    score_episodes: Annotated[
        int | None,
        typer.Option(
            help="Evaluation episodes for the policy's score; by default 1000, or fewer if they are slow."
        ),
    ] = None,
    jobs: Annotated[int, typer.Option(help="Threads or processes; 0 for all processors.")] = 0,
    ray: Annotated[
        str | None, typer.Option(help="Build the shards on the Ray cluster at this address, such as auto.")
    ] = None,
    out: Annotated[Path, typer.Option(help="Output folder.")] = Path("."),
    retrain: Annotated[bool, typer.Option(help="Retrain the agent even if it is cached.")] = False,
    overwrite: Annotated[bool, typer.Option(help="Replace an existing file.")] = False,
    quiet: commands.QuietOption = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Build an offline-RL data set as D4RL HDF5, and validate it."""
    kwargs = parse_env_kwargs(env_kwargs)
    recipe = Recipe(
        env,
        policy,
        tier or "",
        steps,
        seed,
        kwargs,
        deterministic,
        train_steps,
        shard_steps,
        d4rl_v2,
        score_episodes,
    )
    options = Options(out, name, jobs, retrain, overwrite, ray)
    with commands.ProgressBar(quiet or as_json) as progress:
        built = build_recipe(recipe, options, progress)
    if as_json:
        print(json.dumps({**asdict(built), "path": str(built.path)}))
    else:
        commands.say(*_summary(built))


def _summary(built: Built) -> list[str]:
    def shown(value: float | None) -> str:
        return "unknown" if value is None else f"{value:.1f}"

    return [
        f"{built.path}",
        f"  {built.transitions:,} transitions in {built.episodes:,} episodes",
        f"  mean return {shown(built.mean_return)}, normalized score {shown(built.score)}",
        f"  sha256 {built.sha256} (metadata with all array hashes)",
    ]


@app.command("check")
def check_file(
    file: Annotated[Path, typer.Argument(help="A D4RL HDF5 file, or a folder of shards.")],
    independent: Annotated[
        bool, typer.Option("--independent", help="Replay the steps with the scalar environment.")
    ] = False,
    quiet: commands.QuietOption = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the results as JSON.")] = False,
) -> None:
    """Run every gate on a data set; exit code 1 if one fails or is not proven."""
    with commands.ProgressBar(quiet or as_json) as progress:
        report = check_with(file, progress, independent)
    if as_json:
        print(json.dumps([asdict(result) for result in report]))
    else:
        commands.say(*map(str, report))
    if not report.passed:
        sys.exit(UNPROVEN)


@app.command("rebuild")
def rebuild_file(
    file: Annotated[Path, typer.Argument(help="A file from build-dataset, or a folder of shards.")],
    policy: Annotated[
        str | None, typer.Option(help="The file's MODULE:FACTORY; pass it to allow its code to run.")
    ] = None,
    jobs: Annotated[int, typer.Option(help="Threads or processes; 0 for all processors.")] = 0,
    quiet: commands.QuietOption = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Rebuild a file's arrays from its own recipe and weights; exit code 1 if any differs."""
    with commands.ProgressBar(quiet or as_json) as progress:
        rebuilt = rebuild(file, jobs or processors(), progress, policy)
    if as_json:
        print(json.dumps(asdict(rebuilt)))
    else:
        marked = dict.fromkeys(rebuilt.equal, "✓") | dict.fromkeys(rebuilt.different, "✗")
        commands.say(*(f"{mark} {name}" for name, mark in sorted(marked.items())))
        if rebuilt.different:
            commands.say(_reason(rebuilt.other_versions))
    if rebuilt.different:
        sys.exit(UNPROVEN)


def _reason(others: Differences) -> str:
    """The possible cause of differences between stored and rebuilt arrays."""
    if not others:
        return "All recorded versions are the same now, so the file's arrays do not come from its recipe."
    return f"The file was built with other versions: {describe_differences(others)}."


@app.command("show")
def show_dataset(
    file: Annotated[Path, typer.Argument(help="A D4RL HDF5 file, or a folder of shards.")],
    html: Annotated[
        Path | None, typer.Option(help="Write an HTML page with an episode player to this file instead.")
    ] = None,
    quiet: commands.QuietOption = False,
) -> None:
    """Show a data set's returns, episode lengths, actions, states and gates."""
    require_suffix("--html", html, ".html")
    with commands.ProgressBar(quiet) as progress:
        shown = show(file, progress)
    if html is None:
        Console().print(shown.renderable())
    else:
        write_page(shown, html)
        commands.say(str(html))


@app.command("export")
def export_file(
    file: Annotated[Path, typer.Argument(help="A file from build-dataset, or a folder of shards.")],
    to: Annotated[str, typer.Option(help=f"The format: {', '.join(FORMATS)}.")],
    out: Annotated[
        Path | None,
        typer.Option(help="Output folder; by default the file's folder, or Minari's data-set folder."),
    ] = None,
    overwrite: Annotated[bool, typer.Option(help="Replace an existing export.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Export a data set to the format of another library."""
    exported = export(file, to, out, overwrite)
    if as_json:
        print(json.dumps({**asdict(exported), "path": str(exported.path)}))
    else:
        commands.say(
            exported.name, f"  {exported.transitions:,} transitions in {exported.episodes:,} episodes"
        )


@app.command("fetch")
def fetch_dataset(
    name: Annotated[str, typer.Argument(help="A released data set, such as physcartpole-sac-medium-v0.")],
    quiet: commands.QuietOption = False,
) -> None:
    """Download a released data set into the cache, and print its path."""
    with commands.ProgressBar(quiet) as progress:
        path = fetch(name, progress)
    commands.say(str(path))


@app.command("release")
def release_catalogue(
    folder: Annotated[Path, typer.Argument(help="Output folder; existing data sets in it are kept.")],
    only: Annotated[str, typer.Option(help="Only data sets whose names match, such as '*-sac-*'.")] = "*",
    jobs: Annotated[int, typer.Option(help="Threads or processes; 0 for all processors.")] = 0,
    plan: Annotated[
        bool, typer.Option("--publish-plan", help="Only print the commands that upload the folder.")
    ] = False,
    quiet: commands.QuietOption = False,
) -> None:
    """Build the catalog of data sets into a folder that is ready for upload."""
    if plan:
        commands.say(*publish_plan(folder))
        return
    with commands.ProgressBar(quiet) as progress:
        held = release(folder, only, jobs, progress)
    commands.say(*held)


@app.command("play")
def play(
    policy: Annotated[
        str | None,
        typer.Option(
            help=f"Policy: {', '.join(NAMES)}, a data set's FILE (its behavior policy), or MODULE:FACTORY, "
            "which may take the system as its argument. By default lqr, or swing-up in the swing-up task."
        ),
    ] = None,
    env: Annotated[
        str | None, typer.Option(help=f"Environment id; by default that of FILE, or {DEFAULT_ENV}.")
    ] = None,
    env_kwargs: Annotated[str, typer.Option(help="Environment arguments as a JSON object.")] = "{}",
    seed: Annotated[int, typer.Option(help="Random seed of start states, pushes and policy.")] = 0,
    shove: Annotated[
        float | None,
        typer.Option(help="Force of a held arrow key in newtons; by default half the full force."),
    ] = None,
    episodes: Annotated[int | None, typer.Option(help="Number of episodes; unlimited by default.")] = None,
) -> None:
    """Watch a policy in a window, in real time, and push the cart.

    The left and right arrow keys push the cart, R starts the next episode, Space pauses, Escape or Q quits.
    """
    setup = setup_for(policy, env, parse_env_kwargs(env_kwargs))
    game = Game(setup.system, setup.policy, seed)
    strength = SHOVE_FRACTION * setup.system.params.force_mag if shove is None else shove
    play_in_window(game, PlaySession(game, strength, episodes), setup.name)


def main() -> None:
    """Entry point of ``cartpole-phys``."""
    commands.run(app)


def build_dataset_main() -> None:
    """Entry point of ``build-dataset``, which is ``cartpole-phys build``."""
    commands.run_single(build)
