"""The store: the truth about every job. ``contract.py`` says what each adapter promises."""
