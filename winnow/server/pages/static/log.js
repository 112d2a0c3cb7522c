// A form whose work takes a while says so, and is sent once.
document.addEventListener("submit", (event) => {
  const form = event.target.closest("form[data-busy]");
  const button = form?.querySelector("button[type=submit]");
  if (!button) return;
  button.disabled = true;
  button.textContent = form.dataset.busy;
});

// Who comes back to the page can send it again.
addEventListener("pageshow", (event) => {
  if (event.persisted) location.reload();
});
