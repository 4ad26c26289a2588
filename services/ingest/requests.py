"""Bodies of the channel registry's calls. Settings are flat: names to plain values (but for `capabilities`, an object);
null takes a value away."""

from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints

from shared.contracts.shape import Written

SettingName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,63}$")]
Number = Annotated[int | float, Field(ge=-(2**53), le=2**53, allow_inf_nan=False)]
SettingText = Annotated[Written, StringConstraints(max_length=8192)]
SettingValue = bool | Number | SettingText | None
Settings = Annotated[dict[SettingName, SettingValue], Field(max_length=64)]
OBJECTS = frozenset({"capabilities"})
"""Settings that are objects; their module says what may be in them (shared.contracts.capabilities)."""


def _flat(settings: dict[str, Any]) -> dict[str, Any]:
    if any(isinstance(value, dict) and name not in OBJECTS for name, value in settings.items()):
        raise ValueError("settings are plain values")
    return settings


ChannelSettings = Annotated[
    dict[SettingName, SettingValue | dict[str, Any]], Field(max_length=64), AfterValidator(_flat)
]
ChannelName = Annotated[Written, StringConstraints(min_length=1, max_length=200, strip_whitespace=True)]
KindName = Annotated[Written, StringConstraints(min_length=1, max_length=64)]


class _Body(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")


class NewBot(_Body):
    kind: KindName
    settings: Settings = Field(default_factory=dict)


class NewChannel(_Body):
    kind: KindName
    name: ChannelName
    settings: ChannelSettings = Field(default_factory=dict)
    bot: NewBot | None = None


class BotChange(_Body):
    """`kind` may be left out where the channel has a bot; another kind replaces bot and settings."""

    kind: KindName | None = None
    settings: Settings = Field(default_factory=dict)


class ChannelChange(_Body):
    """Only what is given changes; `bot: null` removes the bot."""

    name: ChannelName | None = None
    settings: ChannelSettings = Field(default_factory=dict)
    bot: BotChange | None = None

    @property
    def names_bot(self) -> bool:
        return "bot" in self.model_fields_set
