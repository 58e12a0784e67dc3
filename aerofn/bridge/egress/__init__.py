"""Outgoing HTTP of functions: which hosts, which addresses, how much and how long."""
