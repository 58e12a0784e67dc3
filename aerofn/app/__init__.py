"""The composition root: one node, built from its settings, started, served over HTTP and stopped in order."""

from aerofn.app.server import http_server, serve, url_of
from aerofn.app.service import Service

__all__ = ["Service", "http_server", "serve", "url_of"]
