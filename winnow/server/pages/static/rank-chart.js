// The rank chart: shows the passage of the line that has the pointer or the focus.
const ways = (chart) =>
  [...chart.querySelectorAll(".way")]
    .filter((way) => way.getClientRects().length) // of the wide and the narrow chart one is shown
    .sort((one, other) => one.dataset.number - other.dataset.number);

function show(way) {
  const chart = way.closest("[data-rank-chart]");
  for (const other of chart.querySelectorAll(".way.shown")) other.classList.remove("shown");
  for (const same of chart.querySelectorAll(`.way[data-shows="${CSS.escape(way.dataset.shows)}"]`)) same.classList.add("shown");
  chart.classList.add("pointed");
  for (const passage of chart.querySelectorAll(".rank-chart-panel article")) {
    passage.hidden = passage.id !== way.dataset.shows;
  }
}

function at(event) {
  return event.target instanceof Element ? event.target.closest("[data-rank-chart] [data-shows]") : null;
}

for (const name of ["pointerover", "focusin"]) {
  document.addEventListener(name, (event) => {
    const way = at(event);
    if (way) show(way);
  });
}

document.addEventListener("click", (event) => {
  const way = at(event);
  if (!way) return;
  event.preventDefault();
  show(way);
  way.closest("[data-rank-chart]").querySelector(".rank-chart-panel").scrollIntoView({ block: "nearest" });
});

const STEPS = { ArrowDown: 1, ArrowRight: 1, ArrowUp: -1, ArrowLeft: -1 };
document.addEventListener("keydown", (event) => {
  const way = at(event);
  if (!way || event.ctrlKey || event.metaKey || event.altKey) return;
  const all = ways(way.closest("[data-rank-chart]"));
  const places = { Home: 0, End: all.length - 1 };
  const to = event.key in STEPS ? all.indexOf(way) + STEPS[event.key] : places[event.key];
  if (to === undefined) return;
  event.preventDefault();
  all[Math.max(0, Math.min(all.length - 1, to))].focus({ preventScroll: true });
});
