"""The core, which owns nouns and seams, and the service made of them."""
