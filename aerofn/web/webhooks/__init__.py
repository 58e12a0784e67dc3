"""Webhooks over HTTP: one module a scheme, what they have in common, and the route."""
