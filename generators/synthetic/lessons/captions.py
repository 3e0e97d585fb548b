"""Captions, the first lesson: one patch is shown after the other, and a student says what each shows, as a teacher would."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from random import Random

from dmforge.generators.synthetic.lessons import level_thoughts, two_place_thoughts
from dmforge.generators.synthetic.lessons.thoughts import LOOK_FPS, NOTHING, is_there, overview_plan, patches_of, plan_of
from dmforge.generators.synthetic.worlds.script import Script, Visit
from dmforge.schemas.clips import Clips
from dmforge.schemas.looks import Look, Window
from dmforge.schemas.tags import CLOSE, OPEN
from dmforge.schemas.transcript import Piece, Transcript

SEEN, CALLED = "What is seen?", "What is it called?"
UNCHANGED = "No change."
"""The caption of a patch of a look in which the object that is asked for neither flashes nor flickers."""
PATCHES = 3
"""Patches in a sample: the frame of a chat is longer than a caption."""


@dataclass(frozen=True, slots=True)
class CaptionedPatch:
    """A look of two frames, one temporal patch, with what it shows."""

    look: Look
    text: str
    names: frozenset[str]
    """The names of all objects in it."""


@dataclass(frozen=True, slots=True)
class CaptionSample:
    """Patches with their captions, as an answer to a question."""

    question: str
    answer: str
    """What the last object to be seen is called."""
    transcript: Transcript


def captions(script: Script, clips: Clips, rng: Random, *, of_looks: bool = True) -> CaptionSample:
    """Some patches of one world, each with what it shows. Without those of looks the answer is a shape: an overview may show an
    object just when it flickers in another colour."""
    kinds = (_any_overview_patch, _bound_patch, *((_look_patch, _look_patch) if of_looks else ()))
    patches = [draw_patch(script, clips, rng) for draw_patch in rng.choices(kinds, k=PATCHES)]
    name = next((name for patch in reversed(patches) for name in sorted(patch.names)), NOTHING)
    return _sample(SEEN, patches, name if of_looks else name.split()[-1])


def namings(script: Script, clips: Clips, rng: Random) -> CaptionSample:
    """Some patches of an overview in which something is, each with its name: what else is seen is learnt without names, and
    these only from answers, too seldom."""
    patch_count = len(patches_of(overview_plan(script.duration_s, clips)))
    patches = [patch for index in range(patch_count) if (patch := _overview_patch_at(script, clips, index)).names]
    named = [replace(patch, text=f" {min(patch.names)}.") for patch in rng.choices(patches, k=PATCHES)]
    return _sample(CALLED, named, min(named[-1].names))


def _sample(question: str, patches: Sequence[CaptionedPatch], answer: str) -> CaptionSample:
    """Each patch, which nobody asked for, and its caption, which is learnt; then the answer."""
    pieces = [Piece("prompt", question), Piece("runtime", OPEN["think"])]
    for patch in patches:
        pieces += [Piece("runtime", look=patch.look), Piece("policy", patch.text)]
    ending = f"{CLOSE['think']}{OPEN['answer']}{answer}{CLOSE['answer']}"
    return CaptionSample(question, answer, Transcript((*pieces[:-1], Piece("policy", patches[-1].text + ending))))


def _any_overview_patch(script: Script, clips: Clips, rng: Random) -> CaptionedPatch:
    return _overview_patch_at(script, clips, rng.randrange(len(patches_of(overview_plan(script.duration_s, clips)))))


def _bound_patch(script: Script, clips: Clips, rng: Random) -> CaptionedPatch:
    """A patch of the overview in which a stay begins or ends, or the one before."""
    times_s = overview_plan(script.duration_s, clips).times_s
    bounds_s = [bound_s for stay in script.visits for bound_s in (stay.window.start_s, stay.window.end_s)]
    bound_s = rng.choice(bounds_s)
    patch_index = max(index for index, time_s in enumerate(times_s) if time_s <= bound_s) // 2
    return _overview_patch_at(script, clips, max(0, patch_index - rng.randrange(2)))


def _overview_patch_at(script: Script, clips: Clips, patch_index: int) -> CaptionedPatch:
    plan = overview_plan(script.duration_s, clips)
    stamp_s, times_s = patches_of(plan)[patch_index]
    end_s = times_s[0] + 2 / plan.actual_fps
    look = Look(Window(int(100 * times_s[0]), int(100 * end_s)), plan.actual_fps)
    patch_seen = two_place_thoughts.patch_seen if script.looks == 2 else level_thoughts.patch_seen
    names = {visit.name for visit in script.visits for time_s in times_s if is_there(visit, time_s)}
    return CaptionedPatch(look, patch_seen(script, stamp_s, times_s), frozenset(names))


def _look_patch(script: Script, clips: Clips, rng: Random) -> CaptionedPatch:
    """A patch of a look at a stay of the object that is asked for: half of the time the one that shows its change."""
    stay = rng.choice([visit for visit in script.visits if visit.name == script.visits[0].name])
    patch_count = len(plan_of(Look(stay.window, LOOK_FPS), script.duration_s, clips).times_s) // 2
    patches = [_look_patch_at(script, stay, index, clips) for index in range(patch_count)]
    telling_patches = [patch for patch in patches if patch.text != UNCHANGED]
    return rng.choice(telling_patches if telling_patches and rng.random() < 0.5 else patches)


def _look_patch_at(script: Script, stay: Visit, patch_index: int, clips: Clips) -> CaptionedPatch:
    start_s = stay.window.start_s + 2 * patch_index / LOOK_FPS
    look = Look(Window(int(100 * start_s), int(100 * (start_s + 2 / LOOK_FPS))), LOOK_FPS)
    change_seen = two_place_thoughts.flash_seen if script.looks == 2 else level_thoughts.flicker_seen
    text = change_seen(stay, plan_of(look, script.duration_s, clips)) or UNCHANGED
    return CaptionedPatch(look, text, frozenset({stay.name}))
