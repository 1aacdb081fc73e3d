"""What `make audit` makes of pip-audit's answer."""

from tests.audit import pinned, verdict

GOOD = {"name": "numpy", "version": "2.4.6", "vulns": []}
BAD = {"name": "redis", "version": "1.0", "vulns": [{"id": "CVE-1", "fix_versions": ["1.1"]}, {"id": "CVE-2", "fix_versions": []}]}
UNKNOWN = {"name": "ours", "skip_reason": "not on PyPI"}


def test_what_is_found_fails_and_what_cannot_be_asked_is_said() -> None:
    assert verdict([GOOD]) == (0, ["1 of 1 pinned packages audited, 0 with known vulnerabilities"])
    code, lines = verdict([GOOD, BAD, UNKNOWN])
    assert code == 1
    assert lines == [
        "redis 1.0: CVE-1, mended in 1.1",
        "redis 1.0: CVE-2, mended in no version",
        "2 of 3 pinned packages audited, 1 with known vulnerabilities",
        "not audited: ours: not on PyPI",
    ]
    for nothing in ([], [UNKNOWN]):
        code, lines = verdict(nothing)
        assert (code, lines[0].startswith("NOT AUDITED")) == (0, True)


def test_all_that_is_pinned_is_asked_about() -> None:
    names = {line.partition("==")[0].lower() for line in pinned()}
    assert {"torch", "grpcio", "pyjwt", "cryptography", "redis"} <= names
    assert all("==" in line for line in pinned())
