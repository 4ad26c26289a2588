"""How each kind of channel delivers one message: a module per kind, a row per kind in `KINDS` of `app.py`."""
