"""DESIGN 3, routing 1-5, under redelivery, crashes between any two effects, and two owners at once."""

from collections.abc import Sequence
from dataclasses import replace

from hypothesis import Phase, find, given, settings
from hypothesis import strategies as st

from services.routing.documents import Document, Entry
from services.routing.memory import Remembered
from services.routing.protocol import PENDING_LIMIT, Rules
from tests.unit.routing.build import message, reply
from tests.unit.routing.history import Violation, check
from tests.unit.routing.simulation import Action, Scenario, World, run, world_of
from tests.unit.routing.strategies import inputs
from tests.unit.routing.twins import MemoryStates

KINDS = ["go"] * 6 + ["crash", "crash", "fail", "rebalance", "rewind"]
LITTLE = 5_500
pauses = st.sampled_from([1, 2, 3, 4, 5, 6, 10, 20])
takes = st.tuples(st.integers(0, 3), st.integers(0, 3))
actions = st.builds(Action, st.sampled_from(KINDS), st.sampled_from([False, False, True]), pauses, takes, st.booleans())
scenarios = st.builds(
    Scenario,
    items=st.lists(inputs, min_size=3, max_size=12).map(lambda items: (message("first"), *items)),
    actions=st.lists(actions, min_size=12, max_size=60).map(tuple),
    cached=st.sampled_from([1, 100]),
    pending_limit=st.sampled_from([PENDING_LIMIT, LITTLE]),
)


def lived(scenario: Scenario, rules: Rules, world: World | None = None) -> World:
    world = run(scenario, rules, world)
    check(world)
    return world


def rules_of(scenario: Scenario) -> Rules:
    return Rules(pending_limit=scenario.pending_limit, plan_limit=2 * scenario.pending_limit)


@settings(max_examples=400, deadline=None)
@given(scenarios)
def test_whatever_crashes_the_history_is_that_of_the_undisturbed_run(scenario: Scenario) -> None:
    lived(scenario, rules_of(scenario))


def test_a_zombie_that_writes_between_our_two_reads_is_noticed() -> None:
    """It knew the id and not the document: nothing to write, so no conflict, and the offset passed unpublished."""
    begin, step, three = (Action("go", other, n, (1, 0), False) for other, n in ((False, 1), (False, 1), (True, 3)))
    actions = (begin, replace(begin, kind="rebalance"), begin, step, three)
    lived(Scenario((message("first"), message("second")), actions, 1, PENDING_LIMIT), Rules())


def test_a_rejected_dead_letter_does_not_pass_over_what_came_before_it() -> None:
    """Its offset is marked as applied, and with it all below."""
    items = (message("first"), reply("good"), reply("too much", text="x" * LITTLE), reply("good too"))
    world = lived(Scenario(items, (), 100, LITTLE), Rules(pending_limit=LITTLE))
    assert world.letters == {("conversation.commands", 1)}


def broken(scenario: Scenario, rules: Rules, states: MemoryStates | None = None) -> bool:
    world = world_of(scenario.items)
    world.states = states or world.states
    try:
        lived(scenario, rules, world)
    except Violation:
        return True
    return False


def assert_found(violates: object) -> None:
    """Hypothesis finds a scenario in which the promise is broken: the property above can fail."""
    once = settings(max_examples=3_000, deadline=None, database=None, phases=[Phase.generate], derandomize=True)
    find(scenarios, violates, settings=once)  # type: ignore[arg-type]


def test_dropping_entries_before_they_are_acknowledged_breaks_it() -> None:
    assert_found(lambda scenario: broken(scenario, Rules(owed=lambda entry, ground: False)))


def test_never_dropping_entries_breaks_it() -> None:
    assert_found(lambda scenario: broken(scenario, Rules(owed=lambda entry, ground: True)))


class ForgetfulStates(MemoryStates):
    """The next write drops what the document had, acknowledged or not."""

    async def save(
        self, writes: Sequence[Document], remembered: Sequence[Remembered], erased: Sequence[str] = ()
    ) -> None:
        had = {document.key: document.pending for document in self.stored.values()}
        await super().save([_without(document, had.get(document.key, ())) for document in writes], remembered, erased)


def _without(document: Document, dropped: Sequence[Entry]) -> Document:
    return replace(document, pending=tuple(entry for entry in document.pending if entry not in dropped))


def test_dropping_unacknowledged_entries_at_the_next_write_breaks_it() -> None:
    assert_found(lambda scenario: broken(scenario, Rules(), ForgetfulStates()))


class CarelessStates(MemoryStates):
    """Writes whatever the version is."""

    def check(self, writes: Sequence[Document], remembered: Sequence[Remembered]) -> None:
        """Nobody minds."""


def test_writing_without_a_compare_and_set_breaks_it() -> None:
    assert_found(lambda scenario: broken(scenario, Rules(), CarelessStates()))
