"""``tickr top``: Tickr live on a terminal, with keys to act on what is seen.

``model`` says what each key and each answer does to what is shown, ``frame`` (with ``tables`` and ``whole``) what that
looks like; both are pure. ``reading`` and ``acting`` ask the server, ``rates`` counts what the feed tells, ``terminal``
and ``keyboard`` are the terminal, and ``live`` has them meet.
"""
