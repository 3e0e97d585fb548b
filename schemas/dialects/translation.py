"""Says a transcript of the lake in the dialect that a student is trained in, whichever it was written in."""

from __future__ import annotations

from dmforge.schemas import grammar
from dmforge.schemas.dialects.dialect_name import DialectName
from dmforge.schemas.dialects.known_dialects import DIALECTS, dialect_of
from dmforge.schemas.errors import InputError
from dmforge.schemas.transcript import Transcript


def say_in(dialect: DialectName, transcript: Transcript, where: str) -> Transcript:
    """The same trajectory behind the same prompt. What the dialect can't say is refused; `where` says of which sample."""
    text = transcript.trajectory_text
    written_in = dialect_of(text)
    if dialect == written_in.name or not text:  # a prompt behind which nobody has written yet
        return transcript
    parsed = written_in.parse(text, len(transcript.pieces))
    if not isinstance(parsed, grammar.Trajectory):
        hint = "leave the sample out: what is malformed has no other form"
        raise InputError(f"the trajectory is malformed: {parsed[0].message}", where=where, hint=hint)
    prompt = tuple(piece for piece in transcript.pieces if piece.author == "prompt")
    try:
        return DIALECTS[dialect].transcribe(prompt, parsed)
    except InputError as error:
        error.where = where
        raise
