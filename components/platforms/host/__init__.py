"""Hosts that are there already: bare metal, and any machine that somebody else makes."""
