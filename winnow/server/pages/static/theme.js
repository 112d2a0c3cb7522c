// Switches between light and dark without a reload, and sets the cookie that the server reads.
const root = document.documentElement;
const dark = () =>
  (root.dataset.theme ?? (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light")) === "dark";

function named() {
  for (const link of document.querySelectorAll("[data-theme-switch]")) {
    link.textContent = dark() ? link.dataset.light : link.dataset.dark;
  }
}

document.addEventListener("click", (event) => {
  const link = event.target.closest("[data-theme-switch]");
  if (!link) return;
  event.preventDefault();
  root.dataset.theme = dark() ? "light" : "dark";
  document.cookie = `winnow_theme=${root.dataset.theme}; Max-Age=31536000; Path=/; SameSite=Lax`;
  named();
});
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", named);
named();
