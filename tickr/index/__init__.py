"""The index: the disposable order of jobs. ``contract.py`` says what each adapter promises."""
