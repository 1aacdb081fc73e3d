"""The bundled demonstration models: their problems, training, files and decoding engine."""
