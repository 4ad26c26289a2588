"""Every setting is documented, and the page is the code's."""

from relaydesk.services import SERVICES, settings_of
from relaydesk.settings_page import PAGE, page


def test_the_page_of_settings_is_written_from_the_classes() -> None:
    assert PAGE.read_text() == page(), "run `python -m relaydesk.settings_page`"


def test_every_variable_of_every_service_is_on_the_page() -> None:
    text = PAGE.read_text()
    missing = {name for service in SERVICES for name in settings_of(service).variables() if f"`{name}`" not in text}
    assert not missing
