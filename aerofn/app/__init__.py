"""The composition root: one node, built from its settings, started, served over HTTP and stopped in order."""

from aerofn.app.server import http_server, listen, serve, url_of
from aerofn.app.service import Service
from aerofn.app.siblings import Place
from aerofn.app.workers import parent_gone, serve_with_workers

__all__ = [
    "Place",
    "Service",
    "http_server",
    "listen",
    "parent_gone",
    "serve",
    "serve_with_workers",
    "url_of",
]
