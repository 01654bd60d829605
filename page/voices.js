// A click on a card's button tells its voice; the cards come and go, so the list listens. Runs as js_on_load.
element.addEventListener("click", (event) => {
  const button = event.target.closest("button[data-voice]");
  if (button) trigger("click", { voice: button.dataset.voice });
});
