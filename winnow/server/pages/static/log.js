// Marks a form as busy while its work takes a while, and sends it once.
document.addEventListener("submit", (event) => {
  const form = event.target.closest("form[data-busy]");
  const button = form?.querySelector("button[type=submit]");
  if (!button) return;
  button.disabled = true;
  button.textContent = form.dataset.busy;
});

// After going back to the page it can be sent again.
addEventListener("pageshow", (event) => {
  if (event.persisted) location.reload();
});
