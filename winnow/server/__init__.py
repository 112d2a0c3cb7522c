"""`winnow serve`: one pipeline behind HTTP. Start reading at `app`; answers are made elsewhere."""
