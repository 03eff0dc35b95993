"""The description of the API in OpenAPI 3.1: made of the routes, the records that parse and answer, and some words.

``document.py`` puts it together, ``schemas.py`` makes JSON Schema of records, ``about.py`` has the shape of what is
said of a call, and the other files say it, one for each group of calls.
"""
