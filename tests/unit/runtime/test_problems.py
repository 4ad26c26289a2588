"""A problem is RFC 9457 with our stable code, whatever goes into it."""

import pytest

from shared.contracts.errors import ERRORS
from shared.runtime.problems import Problem, not_found, unauthenticated, unavailable


@pytest.mark.parametrize("problem", [unavailable(), not_found(), unauthenticated("No.")])
def test_our_own_problems_use_documented_codes_with_their_status(problem: Problem) -> None:
    assert ERRORS[problem.code].status == problem.status
    assert problem.document()["title"] == ERRORS[problem.code].title


def test_extra_members_stand_beside_the_detail_and_cannot_break_the_body() -> None:
    problem = Problem(409, "STALE_VIEW", "Read first.", missed=[1, 2], odd=object)
    assert problem.document()["missed"] == [1, 2]
    assert problem.body().startswith(b'{"type":"urn:relaydesk:problem:stale-view","title":"A colleague answered')
