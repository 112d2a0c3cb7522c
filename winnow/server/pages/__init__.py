"""winnow's web pages: server-rendered, a little JavaScript of our own, nothing from elsewhere.

How a page is added, `notes` for example:

1. `notes.py`: a `router = APIRouter(include_in_schema=False)` whose routes end in
   `return render(request, "notes.html", …)`. Blocking work goes through `served.in_thread`. What a template
   shows beyond plain records is a frozen dataclass made in a module beside it, not arithmetic in a template.
   Errors are raised as everywhere; who asked with a browser gets them as a page.
2. `templates/notes.html` extends `base.html` and fills `title` and `main`. Everything is escaped; nothing
   that anybody wrote is marked as safe. No style attribute, no `<style>`, no script in the page, no `on…=`:
   the policy (`rendering.HEADERS`) would refuse them. Parts that several pages share are the files with a
   leading `_`.
3. `words/notes.py`: `WORDS = {"notes.title": ("Notes", "笔记")}`, English and Chinese side by side,
   gathered in `words/__init__.py`. Templates say `{{ t(KEY) }}`; a test finds keys that are missing
   or unused.
4. `static/notes.js`, where it must: an ES module, loaded in the block `scripts`. Listen on `document` where
   you can, so that parts of a page that come later work too; texts come from `data-` attributes. The page
   must make sense without it.
5. In `routes.py`: its router, and a line in the navigation where it belongs there. Static files are listed
   by what the folder holds.

Forms POST to routes of their own page and answer with a redirect (303). `security.Guard` refuses the posts of
other sites; a route that a read-only token may POST to is named in `security._ASKING`.
"""
