// Sends thumbs up and down to the log without leaving the page.
document.addEventListener("submit", async (event) => {
  const form = event.target.closest("form[data-feedback]");
  if (!form) return;
  event.preventDefault();
  const said = form.querySelector("[role=status]");
  const good = event.submitter.value === "good";
  try {
    const reply = await fetch(form.dataset.feedback, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ good }),
    });
    const problem = reply.ok ? null : await reply.json();
    if (problem) throw new Error(problem.way_out ? `${problem.detail} ${problem.way_out}` : problem.detail);
    for (const thumb of form.querySelectorAll("button")) {
      thumb.setAttribute("aria-pressed", String((thumb.value === "good") === good));
    }
    said.textContent = form.dataset.noted;
  } catch (error) {
    said.textContent = error.message;
  }
});
