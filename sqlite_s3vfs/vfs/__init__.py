"""SQLite's side: files, locks and pragmas over a ``Database``. The only package that imports apsw."""
