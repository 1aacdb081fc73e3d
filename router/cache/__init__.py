"""The cache: what was paid for once is not paid for again."""
