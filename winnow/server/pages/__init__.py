"""winnow's web pages: rendered on the server, with a little JavaScript, nothing from other hosts.

To add a page, for example `notes`:

1. `notes.py`: a `router = APIRouter(include_in_schema=False)` whose routes end in
   `return render(request, "notes.html", …)`. Run blocking work through `served.in_thread`. Hand records to
   the template as they are; whatever must be computed first is a frozen dataclass in `views/`. Raise errors
   as everywhere else; a browser gets them as a page.
2. `templates/notes.html` extends `base.html` and fills `title` and `main`. Everything is escaped; never mark
   text of users as safe. No style attribute, `<style>`, inline script or `on…=`: the policy
   (`rendering.HEADERS`) refuses them. Parts that several pages share are files with a leading `_`.
3. `words/notes.toml`: the page's texts, `["notes.title"]` with `en` and `zh`. Templates say `{{ t(KEY) }}`; a
   test finds keys that are missing or unused.
4. `static/notes.js`, if the page needs one: an ES module, loaded in the block `scripts`. Listen on `document`
   where possible, so that parts inserted later work too; texts come from `data-` attributes. The page must be
   usable without it.
5. `routes.py`: the router; `rendering.NAVIGATION`: an entry, where it belongs there. Static files are
   found by themselves.

Forms POST to routes of their own page and answer with a redirect (303). `security.Guard` refuses posts from
other sites; routes that a read-only token may POST to are listed in `security._READ_ONLY_POSTS`.
"""
