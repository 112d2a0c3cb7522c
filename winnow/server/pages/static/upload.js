// Uploads files that are dropped or chosen: checks them first, then follows the job to its end, also on the
// job's own page. Texts come from the form's data- attributes, results as HTML from the server.
const every = (ms) => new Promise((done) => setTimeout(done, ms));

function readable(bytes) {
  if (bytes < 2 ** 10) return `${bytes} B`;
  const [unit, factor] = bytes >= 2 ** 20 ? ["MB", 2 ** 20] : ["KB", 2 ** 10];
  return `${(bytes / factor).toFixed(1)} ${unit}`;
}

function problemOf(form, files) {
  const names = files.map((file) => file.name);
  const twice = names.find((name, at) => names.indexOf(name) !== at);
  if (twice !== undefined) return form.dataset.twice + twice;
  if (files.length > Number(form.dataset.files)) return form.dataset.tooMany;
  const total = files.reduce((sum, file) => sum + file.size, 0);
  return total > Number(form.dataset.bytes) ? form.dataset.tooLarge : "";
}

function remark(form, file) {
  const name = file.name.toLowerCase().replace(/\.gz$/, "");
  if (file.size === 0) return form.dataset.empty;
  return form.dataset.suffixes.split(" ").some((one) => name.endsWith(one)) ? "" : form.dataset.unknown;
}

function chosen(form) {
  return [...form.querySelector("input[type=file]").files];
}

function choose(form, files) {
  const held = new DataTransfer();
  for (const file of files) held.items.add(file);
  form.querySelector("input[type=file]").files = held.files;
  show(form);
}

function show(form, more = "") {
  const files = chosen(form);
  const list = form.querySelector(".chosen");
  list.replaceChildren(...files.map((file) => line(form, file)));
  list.hidden = files.length === 0;
  const said = [problemOf(form, files), more].filter(Boolean).join(" ");
  complain(form, said);
  form.querySelector("button.main").disabled = problemOf(form, files) !== "";
}

function line(form, file) {
  const item = document.createElement("li");
  const [name, said, size] = ["span", "span", "span"].map((tag) => document.createElement(tag));
  name.textContent = file.name;
  said.textContent = remark(form, file);
  said.className = "said";
  size.textContent = readable(file.size);
  size.className = "soft";
  const remove = document.createElement("button");
  remove.type = "button";
  remove.textContent = "✕";
  remove.setAttribute("aria-label", `${form.dataset.remove} ${file.name}`);
  remove.addEventListener("click", () => choose(form, chosen(form).filter((one) => one !== file)));
  item.append(name, said, size, remove);
  return item;
}

function complain(form, text) {
  const place = form.querySelector(".problem");
  place.textContent = text;
  place.hidden = text === "";
}

function send(form) {
  const bar = form.querySelector("progress");
  return new Promise((done, failed) => {
    const request = new XMLHttpRequest();
    request.open("POST", form.dataset.upload);
    request.responseType = "json";
    request.upload.addEventListener("progress", (event) => {
      if (event.lengthComputable) bar.value = event.loaded / event.total;
    });
    request.addEventListener("error", () => failed(new Error(form.dataset.lost)));
    request.addEventListener("load", () => {
      const reply = request.response ?? {};
      if (request.status === 202) done(reply);
      else failed(new Error([reply.detail, reply.way_out].filter(Boolean).join(" ") || String(request.status)));
    });
    request.send(new FormData(form));
  });
}

// Shows a job's state, which the server renders. Returns whether the job has ended.
async function watch(place, address) {
  for (;;) {
    const reply = await fetch(`${address}?part=true`).catch(() => null);
    if (reply?.redirected || reply?.status === 404) return false; // the session is over, or the server is another
    if (reply?.ok) place.innerHTML = await reply.text();
    if (place.querySelector("[data-ended]")) return true;
    await every(reply?.ok ? 500 : 3000);
  }
}

async function refresh() {
  const parts = document.querySelectorAll("[data-live]");
  if (parts.length === 0) return;
  const reply = await fetch(location.pathname + location.search);
  const page = new DOMParser().parseFromString(await reply.text(), "text/html");
  for (const part of parts) {
    const fresh = page.getElementById(part.id);
    if (fresh) part.replaceWith(fresh);
  }
}

async function upload(form) {
  const button = form.querySelector("button.main");
  const bar = form.querySelector("progress");
  complain(form, "");
  button.disabled = true;
  bar.value = 0;
  bar.hidden = false;
  try {
    const job = await send(form);
    choose(form, []); // more may be sent while this one is worked on
    const place = document.createElement("div");
    form.parentElement.querySelector(".job-place").prepend(place);
    watch(place, `/collections/${encodeURIComponent(job.collection)}/jobs/${job.id}`).then(
      (ended) => (ended ? refresh() : complain(form, form.dataset.lost)),
    );
  } catch (error) {
    complain(form, error.message);
  } finally {
    bar.hidden = true;
    button.disabled = false;
  }
}

document.addEventListener("change", (event) => {
  const form = event.target.closest("form[data-upload]");
  if (form && event.target.type === "file") show(form);
});
document.addEventListener("submit", (event) => {
  const form = event.target.closest("form[data-upload]");
  if (!form) return;
  event.preventDefault();
  upload(form);
});
for (const kind of ["dragover", "dragleave", "drop"]) {
  document.addEventListener(kind, (event) => {
    const form = document.querySelector("form[data-upload]");
    if (!form || !event.dataTransfer?.types.includes("Files")) return;
    event.preventDefault(); // next to the field, too; otherwise the browser would open the file
    form.querySelector(".drop").classList.toggle("over", kind === "dragover");
    if (kind !== "drop") return;
    const folders = [...event.dataTransfer.items]
      .map((item) => item.webkitGetAsEntry?.())
      .filter((entry) => entry?.isDirectory)
      .map((entry) => entry.name);
    const files = [...event.dataTransfer.files].filter((file) => !folders.includes(file.name));
    choose(form, [...chosen(form), ...files]);
    if (folders.length) show(form, form.dataset.folder + folders.join(", "));
  });
}
for (const job of document.querySelectorAll("[data-job]:not([data-ended])")) {
  watch(job.parentElement, job.dataset.job).then((ended) => ended || location.reload());
}
