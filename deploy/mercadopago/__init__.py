"""A stand-in for Mercado Pago: a process with its own port and its own data, for development, demonstrations and tests."""
