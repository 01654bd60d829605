// The notice beside the controls leads to the row of the model that is missing; the tab's own button opens the tab.
element.addEventListener("click", (event) => {
  const button = event.target.closest("button[data-bring]");
  if (!button) return;
  document.getElementById("tab-voices-button")?.click();
  const row = document.getElementById(`model-${button.dataset.bring}`);
  new IntersectionObserver((seen, watch) => {
    if (!row.offsetParent) return;
    watch.disconnect();
    row.scrollIntoView({ block: "center" });
    row.querySelector("button")?.focus();
  }).observe(row);
});
