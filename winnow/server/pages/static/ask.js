// Asks without leaving the page: shows the text as it is written, then the server's HTML of the answer.
const live = document.getElementById("live");
const failed = document.getElementById("failed");
const result = document.getElementById("result");
let underway = null;
let shown = location.search;

function within(part, name) {
  return part.querySelector(`[data-${name}]`);
}

function running(form, on) {
  for (const other of document.querySelectorAll("form[data-ask]")) within(other, "send").disabled = on;
  within(form, "send").hidden = on;
  within(form, "stop").hidden = !on;
  live.setAttribute("aria-busy", String(on));
}

function fail(detail, wayOut) {
  live.hidden = true;
  within(failed, "detail").textContent = detail;
  within(failed, "way-out").textContent = wayOut ?? "";
  failed.hidden = false;
  failed.scrollIntoView({ block: "nearest" });
}

// Yields the complete events of a stream.
async function* events(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const blocks = (rest + value).split("\n\n");
    rest = blocks.pop();
    for (const block of blocks) {
      const fields = Object.fromEntries(block.split("\n").map((line) => line.split(/: (.*)/s, 2)));
      yield { name: fields.event, data: JSON.parse(fields.data) };
    }
  }
}

function begin(form, question) {
  failed.hidden = true;
  within(live, "asked").textContent = question;
  within(live, "stage").textContent = form.dataset.searching;
  within(live, "pieces").textContent = "";
  live.hidden = false;
  document.querySelector(".welcome")?.remove();
  result.hidden = true;
  live.scrollIntoView({ block: "nearest" });
}

function finish({ html, address }) {
  result.innerHTML = html; // the server's own templates, everything escaped
  result.hidden = false;
  live.hidden = true;
  if (address) {
    history.pushState(null, "", address);
    shown = location.search;
    for (const link of document.querySelectorAll(".switches a")) {
      const choice = [...new URLSearchParams(link.search)].at(-1); // the rest was the old address
      link.search = new URLSearchParams([...new URLSearchParams(location.search), choice]);
    }
  }
  document.title = `${result.querySelector("h1").textContent} · winnow`;
  result.focus({ preventScroll: true });
  window.scrollTo({ top: result.offsetTop - 12 });
}

async function ask(form) {
  const fields = new URLSearchParams(new FormData(form));
  const question = fields.get("question");
  underway = new AbortController();
  begin(form, question);
  running(form, true);
  let whole = false;
  try {
    const reply = await fetch(form.action, {
      method: "POST",
      headers: { accept: "text/event-stream, application/problem+json" },
      body: fields,
      signal: underway.signal,
    });
    if (!reply.ok) {
      const problem = await reply.json();
      fail(problem.detail, problem.way_out);
      return;
    }
    for await (const { name, data } of events(reply.body)) {
      if (name === "piece") {
        within(live, "stage").textContent = form.dataset.answering;
        within(live, "pieces").append(data.text);
      } else if (name === "answer") {
        whole = true;
        running(form, false); // before the form may go with the old answer
        finish(data);
      } else {
        whole = true;
        fail(data.detail, data.way_out);
      }
    }
    if (!whole) fail(form.dataset.broken);
  } catch (error) {
    if (!whole) fail(error.name === "AbortError" ? form.dataset.stopped : form.dataset.broken);
  } finally {
    underway = null;
    running(form, false);
    if (!whole) result.hidden = false;
  }
}

document.addEventListener("submit", (event) => {
  const form = event.target.closest("form[data-ask]");
  if (!form) return;
  event.preventDefault();
  if (!underway) ask(form);
});

document.addEventListener("click", (event) => {
  if (event.target.closest("[data-stop]")) underway?.abort();
});

// Enter sends, Shift+Enter starts a new line; while an input method composes, Enter belongs to it.
document.addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || event.shiftKey || event.isComposing || event.keyCode === 229) return;
  const form = event.target.closest?.("form[data-ask]");
  if (!form || event.target.tagName !== "TEXTAREA") return;
  event.preventDefault();
  form.requestSubmit();
});

// Back and forward reload from the server, except for links within the page.
addEventListener("popstate", () => {
  if (location.search !== shown) location.reload();
});
