// Polls a comparison every second and reloads the page when it has ended.
const EVERY_MS = 1000;

async function look() {
  try {
    const reply = await fetch(location.href);
    const page = new DOMParser().parseFromString(await reply.text(), "text/html");
    const job = page.querySelector("[data-job]");
    if (!job) return location.reload();
    document.querySelector("[data-job]").replaceChildren(...job.childNodes);
  } catch {
    // the server did not reply: try again
  }
  setTimeout(look, EVERY_MS);
}

setTimeout(look, EVERY_MS);
