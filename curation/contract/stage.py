"""What a stage is: shapes and one contract. A stage knows its work and its config, and nothing of how it is run."""

from __future__ import annotations

import typing
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from functools import cached_property
from typing import Annotated, Any, ClassVar, Generic, Self, TypeVar

from pydantic import NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt

from dmforge.curation.contract.budget import Budget, ExpectedCost
from dmforge.curation.contract.stage_results import Key, Made, Origin, Quarantined, Rejected, Result
from dmforge.curation.workspace_folder import WorkspaceFolder
from dmforge.schemas.config import Config, Formerly, Operational
from dmforge.schemas.errors import InputError
from dmforge.schemas.ids import Id, digest
from dmforge.schemas.records import Item, Joined, Record

__all__ = [
    "AnyStage",
    "Ask",
    "AskConfig",
    "Batch",
    "BatchConfig",
    "Each",
    "EachConfig",
    "Gate",
    "Key",
    "Made",
    "Quarantined",
    "Rejected",
]
__all__ += ["Result", "Root", "Stage", "StageConfig"]

In = TypeVar("In", bound=Item)
Out = TypeVar("Out", bound=Record)


def _is_stage_shape(base: Any) -> bool:
    type_arguments = typing.get_args(base)
    return bool(type_arguments) and not any(isinstance(type_argument, TypeVar) for type_argument in type_arguments)


def _joined_record(annotation: Any) -> type[Record]:
    """The record type of a joined row's field: for `X | None` it is X."""
    return next((type_argument for type_argument in typing.get_args(annotation) if type_argument is not type(None)), annotation)


class StageConfig(Config):
    """Settings of every stage."""

    batch_items: Operational[PositiveInt] = 1000
    """Inputs that are committed together. Small where an input takes long: what a kill undoes is at most the open batches."""


class EachConfig(StageConfig):
    """Settings of an Each stage: limits of the killable processes in which foreign files are opened."""

    workers: Operational[NonNegativeInt] = 0
    """Processes at work, on all machines together; 0 means one for each core."""
    cpu_s: Operational[PositiveFloat] = 60.0
    """CPU seconds that one input may use without getting on."""
    memory_mb: Operational[PositiveInt] = 2048
    """Memory that a process may take beyond what it had when it started."""
    hang_timeout_s: Annotated[Operational[PositiveFloat], Formerly("still_s")] = 30.0
    """Seconds that a process may stand still, using no CPU although the machine is free: hung."""
    wall_timeout_s: Annotated[Operational[PositiveFloat], Formerly("wall_s")] = 900.0
    """The backstop: seconds without getting on after which even a process that computes is ended. Its input stays pending."""


class BatchConfig(StageConfig):
    """Settings of a Batch stage: the workers and GPUs that an engine takes on a cluster."""

    gpus: Operational[NonNegativeFloat] = 0.0
    """Of a GPU, what each worker takes on a cluster: with 0.5, two share one. On one machine the engine takes what it finds."""
    workers: Operational[NonNegativeInt] = 0
    """Workers on a cluster; 0 means as many as fit."""


class AskConfig(StageConfig):
    """Settings of an Ask stage: how many requests are in flight."""

    concurrency: Operational[PositiveInt] = 16
    """Requests in flight."""

    @property
    def in_flight(self) -> int:
        """Inputs that are worked on at once."""
        return self.concurrency

    @property
    def finishes_calls(self) -> bool:
        """When a stage stops, calls under way are waited for: they are paid for, and their answers would be lost."""
        return True

    def shared(self, askers: int) -> Self:
        """The settings for one of several ranks that ask at once: together they send no more than one alone would."""
        return self.model_copy(update={"concurrency": max(1, self.concurrency // askers)})


class Stage(ABC, Generic[In, Out]):
    """Turns records of one table into records of others. `class Blind(Batch[Task, Verdict])` is the whole declaration.

    It is picklable, and opens what is heavy in `open`, in the process that does the work.
    """

    name: ClassVar[str]
    version: ClassVar[int]
    """Raised when the code changes what comes out: part of the work key."""
    allows_duplicate_rows: ClassVar[bool] = False
    """Two inputs may give the same row, as when a question stands in two files: it is one row then. Costs a sort to see."""
    whole_videos: ClassVar[bool] = False
    """Batches end where a video ends: what is done about one video is committed together, or not at all."""
    measures: ClassVar[tuple[str, ...]] = ()
    """The names of the verdicts that it gives: a recipe tells from them what can be asked for before anything is measured."""
    item: ClassVar[type[Item]]
    """What `process` is given: a row of the table that the stage reads, alone or beside rows that it names."""
    reads: ClassVar[type[Record]]
    beside: ClassVar[dict[str, type[Record]]]
    """Of a joined item: the column of the input that names a row, and what that row is."""
    makes: ClassVar[tuple[type[Record], ...]]
    config_class: ClassVar[type[StageConfig]]
    config: StageConfig

    def __init__(self, config: StageConfig) -> None:
        self.config = config

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        stage_shape = next(
            (generic_base for generic_base in getattr(cls, "__orig_bases__", ()) if _is_stage_shape(generic_base)), None
        )
        # a concrete stage: what it reads and makes stands in its bases, its config in its annotations
        if stage_shape is not None:
            input_type, made_type = typing.get_args(stage_shape)
            record_types = typing.get_type_hints(input_type) if issubclass(input_type, Joined) else {"": input_type}
            cls.item, (cls.reads, *_), cls.makes = input_type, record_types.values(), typing.get_args(made_type) or (made_type,)
            cls.beside = {
                joined_name: _joined_record(record_type) for joined_name, record_type in list(record_types.items())[1:]
            }
            cls.config_class = typing.get_type_hints(cls)["config"]

    @cached_property
    def variant(self) -> Id:
        """Digest of all that decides what comes out of an input. With the input's id it is the work key."""
        return digest("variant", [self.name, self.version, self.config.semantic(), self.cache_key_parts()])

    @property
    def origin(self) -> Origin:
        return Origin(self.name, self.variant)

    def cache_key_parts(self) -> list[str]:
        """What decides the result beside name, version and config: the text of prompts, say."""
        return []

    def asked_scores(self) -> frozenset[str]:
        """The names of verdicts that the config asks for: a recipe is refused where no stage before gives one of them."""
        return frozenset()

    def given_scores(self) -> frozenset[str]:
        """The names of verdicts that it gives as it is configured."""
        return frozenset(self.measures)

    def blocked_by(self) -> str:
        """What has to be made by other means before this stage can work, and how; empty where nothing has. A run ends before
        it then, and in good order."""
        return ""

    def check(self, workspace: WorkspaceFolder) -> None:
        """Refuse what a run would be refused for, as far as the workspace tells. A plan calls it, too: it writes nothing."""

    def begin(self, workspace: WorkspaceFolder) -> None:
        """Called once, by the driver, before any stage works: what can't be done is refused while nothing has changed."""

    def open(self, workspace: WorkspaceFolder) -> None:
        """Open what the work needs. Called once in each process that does the work."""

    def close(self) -> None:
        """Close what was opened. Called where the work ends in order; a killed process closes nothing."""

    def __repr__(self) -> str:
        made_tables = ", ".join(record.table for record in self.makes)
        return f"{type(self).__name__}({self.reads.table} -> {made_tables}; {self.config!r})"


class Each(Stage[In, Out]):
    """One input at a time, in a process that may be killed: decoding, probing, whatever opens foreign bytes."""

    config: EachConfig
    heartbeat: Callable[[], None] = staticmethod(lambda: None)
    """To be called by work that takes long, as it gets on: what an input may use counts from there."""

    @abstractmethod
    def process(self, item: In) -> Result:
        """What became of this input. An exception is tried once more, then quarantined; `Transient` stays pending."""


class Unanswered(Exception):
    """A question that the journal has no answer to."""


class Ask(Stage[In, Out]):
    """One input at a time, many in flight: teachers and other servers."""

    config: AskConfig
    account: Budget
    """Set by the driver: what asking costs is counted there, and bounded."""
    can_do_without_asking: ClassVar[bool] = False
    """It obeys `journal_only`: a plan may try inputs with the journal alone."""
    retryable: ClassVar[tuple[str, ...]] = ()
    """The reasons that it rejects for and that another reply may change: a person may grant such inputs further attempts."""
    unreadable_reason: ClassVar[str] = ""
    """The reason that it rejects for where no reply can be used."""
    journal_only: bool = False
    """Set before `open`: nothing is asked, and an input that needs an answer which the journal lacks raises `Unanswered`."""

    def __init__(self, config: StageConfig) -> None:
        super().__init__(config)
        self.account = Budget()

    async def aclose(self) -> None:
        """Close what was opened, while connections can still say goodbye."""
        self.close()

    def missing(self) -> InputError | None:
        """What asking needs beside the recipe and is not there: an endpoint, or a price where there is a budget."""
        return None

    def may_be_answered(self, workspace: WorkspaceFolder) -> bool:
        """Whether answers may be there already, so that it can begin though what asking needs is missing: it raises at the
        first question that has none."""
        del workspace
        return False

    def wrong_endpoint(self) -> InputError | None:
        """What is wrong with the endpoint that is named, if one is."""
        return None

    def expected(self, item: In) -> ExpectedCost | None:
        """What this input should cost, where that can be told before anything is asked."""
        del item
        return None

    @abstractmethod
    async def process(self, item: In) -> Result:
        """What became of this input. `Transient` leaves it pending; any other exception stops the stage."""


class Batch(Stage[In, Out]):
    """A stream of inputs to a stream of results: for engines that batch by themselves."""

    config: StageConfig

    @abstractmethod
    def process(self, items: Iterator[In]) -> Iterator[Result]:
        """One result for each input, in the order of the inputs; it may take inputs ahead of its results."""


class Gate(ABC):
    """A stage that lets some rows of the table that it reads through to later stages, and keeps the others back. What it makes
    of a row is about that row's video: so where a range of videos is read, no other rows are asked for."""

    @abstractmethod
    def passing(self, made: str) -> str:
        """SQL of the `id`s that pass, from SQL of the rows that the stage made."""


class Root(ABC):
    """A stage at the start of the chain: its inputs come from outside the lake."""

    @abstractmethod
    def source_version(self, workspace: WorkspaceFolder) -> str:
        """What the list is made from, in few words: a digest, a number. While it stays the same, nothing is scanned again."""

    @abstractmethod
    def scan(self, workspace: WorkspaceFolder) -> Iterator[Record]:
        """Every input there is, always all of them: one that is no longer listed is no longer current."""


AnyStage = Stage[Item, Record]
