// A citation such as [1] opens its passage, with the cited sentence in view.
document.addEventListener("click", (event) => {
  const link = event.target.closest?.("a.marker");
  if (!link) return;
  const source = document.getElementById(link.hash.slice(1));
  if (!source) return;
  event.preventDefault();
  source.open = true;
  for (const other of document.querySelectorAll(".source.pointed")) other.classList.remove("pointed");
  source.classList.add("pointed");
  source.querySelector("summary").focus({ preventScroll: true });
  (source.querySelector("mark") ?? source).scrollIntoView({ block: "center" });
});

// A link to a text copies it instead, where the browser lets it.
document.addEventListener("click", async (event) => {
  const link = event.target.closest?.("a[data-copy]");
  if (!link || !navigator.clipboard) return;
  event.preventDefault();
  try {
    const reply = await fetch(link.href);
    if (!reply.ok) throw new Error(reply.statusText);
    await navigator.clipboard.writeText(await reply.text());
    link.textContent = link.dataset.copied;
  } catch {
    location.assign(link.href);
  }
});
