"""The section of the settings that is about the cache."""

from pydantic import Field

from router.section import Section


class CacheSettings(Section):
    """What is kept of what was paid for, how long, and in how much of Redis."""

    seconds: float = Field(3_600.0, gt=0)
    """An answer may be given again."""
    evidence_seconds: float = Field(86_400.0, gt=0)
    """A later request for the same question may begin with what was bought for it."""
    request_seconds: float = Field(86_400.0, gt=0)
    """A request with the id of an earlier one is a repetition of it."""
    megabytes: int = Field(256, gt=0)
    """Of Redis, for answers and evidence; what was not used for longest makes room."""
    request_megabytes: int = Field(64, gt=0)
    """Of Redis, for the ends of requests with ids; the oldest make room."""
    lease_seconds: float = Field(3.0, ge=0.3)
    """After which a router that has gone silent no longer keeps others from getting the same answer."""
    questions: int = Field(10_000, gt=0)
    """Of one tenant that are compared with a question in other words."""
    check_share: float = Field(0.1, gt=0, le=1)
    """Of the answers that would be given to other words which are got anew, and compared."""
