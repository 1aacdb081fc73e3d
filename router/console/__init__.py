"""The console: the page that operators look at, and the calls it is made of."""
