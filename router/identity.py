"""Identity: when two queries are the same question. Apart from the cache, so that the pipeline need not know of Redis."""

import hashlib
import json
import unicodedata

from router.types import Query, Task


def cache_key(query: Query, catalogue_version: str) -> str:
    """The same for two queries of one tenant that deserve the same answer: same conversation up to white space, same terms, same catalogue."""
    knobs = query.knobs
    terms = (knobs.value, knobs.abstain_below, knobs.risk, knobs.max_stages, sorted(knobs.plans), knobs.policy)
    conversation = [(message.role, _normal(message.content, query.task)) for message in query.messages]
    identity = (query.tenant, catalogue_version, query.task, query.seed, terms, conversation)
    return hashlib.blake2b(json.dumps(identity).encode(), digest_size=20).hexdigest()


def _normal(text: str, task: Task) -> str:
    """One form for each way to type a text. Not more: case and superscripts carry meaning in questions, and white space does in code."""
    composed = unicodedata.normalize("NFC", text)
    return composed if task is Task.CODE else " ".join(composed.split())
