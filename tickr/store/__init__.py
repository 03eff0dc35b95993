"""The store: the truth about every job. ``contract`` says what each adapter promises."""
