// Puts a filter together of the fields that the collection's passages have; loaded when it is first wanted.
const TEXT = /^(?:'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")$/s;
const PLAIN = /^(?:true|false|[-+]?\d+(?:\.\d+)?)$/;

async function load(builder) {
  const collection = builder.closest("form").elements.collection.value;
  const reply = await fetch(`${builder.dataset.builder}?collection=${encodeURIComponent(collection)}`);
  builder.innerHTML = reply.ok ? await reply.text() : ""; // the server's own template, everything escaped
  if (reply.ok) choose(builder);
}

function choose(builder) {
  const field = builder.querySelector("[data-field]")?.selectedOptions[0];
  if (!field) return;
  const list = builder.querySelector("datalist");
  list.replaceChildren(...JSON.parse(field.dataset.values).map((value) => new Option(value, value)));
  for (const order of builder.querySelectorAll("[data-order]")) order.disabled = !("ordered" in field.dataset);
}

function add(builder) {
  const [field, sign, value] = ["field", "sign", "value"].map((name) => builder.querySelector(`[data-${name}]`));
  const typed = value.value.trim();
  if (!typed) return value.focus();
  const written = TEXT.test(typed) || (PLAIN.test(typed) && sign.value !== "contains");
  const literal = written ? typed : `'${typed.replace(/['\\]/g, "\\$&")}'`;
  const where = builder.closest("form").elements.where;
  const before = where.value.trim(); // `and` binds more closely than an `or` that is there
  where.value = [/\bor\b/i.test(before) ? `(${before})` : before, `${field.value} ${sign.value} ${literal}`].filter(Boolean).join(" and ");
  value.value = "";
  where.focus();
}

document.addEventListener("toggle", (event) => {
  const builder = event.target.open && event.target.querySelector?.("[data-builder]:empty");
  if (builder) load(builder);
}, true);
document.addEventListener("change", (event) => {
  const builder = event.target.closest?.("[data-builder]");
  if (event.target.matches?.("[data-field]")) choose(builder);
  const form = event.target.matches?.("select[name=collection]") && event.target.form;
  const there = form && form.querySelector("[data-builder]:not(:empty)");
  if (there) load(there);
});
document.addEventListener("click", (event) => {
  if (event.target.matches?.("[data-add]")) add(event.target.closest("[data-builder]"));
});
for (const builder of document.querySelectorAll("details[open] [data-builder]:empty")) load(builder);
