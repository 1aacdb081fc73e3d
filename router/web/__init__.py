"""The HTTP door: a web server beside gRPC's, with OpenAI's pages, every unary call as JSON, and the console."""
