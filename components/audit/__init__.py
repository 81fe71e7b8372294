"""Drift on view: what machines have, compared with what was declared. `python -m components.audit`; reads only."""
