"""`winnow serve`: one pipeline behind HTTP. Start reading at `app`; no answer is decided here."""
