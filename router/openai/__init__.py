"""The door for OpenAI's clients: their HTTP dialect, spoken before our own service, which does everything."""
