// Before anything else on the page (early.py): which language it speaks, and whether it is dark. Gradio goes by the
// browser's languages, so a choice made on the page is put in front of them; the cookie tells the server.
(() => {
  const cookie = document.cookie.match(/(?:^|; )language=(zh|en)/)?.[1];
  if (cookie) {
    const locale = { zh: "zh-CN", en: "en" }[cookie];
    Object.defineProperty(navigator, "language", { get: () => locale });
    Object.defineProperty(navigator, "languages", { get: () => [locale] });
  }
  window.pageLanguage = navigator.language.toLowerCase().startsWith("zh") ? 0 : 1;
  document.documentElement.lang = ["zh-CN", "en"][window.pageLanguage];
  const dark = () => (localStorage.getItem("look") ?? (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light")) === "dark";
  const paint = () => document.body.classList.toggle("dark", dark());
  window.switchLanguage = () => {
    document.cookie = `language=${["en", "zh"][window.pageLanguage]}; path=/; max-age=31536000; samesite=strict`;
    location.reload();
  };
  window.switchLook = () => {
    localStorage.setItem("look", dark() ? "light" : "dark");
    paint();
  };
  // Gradio says that a password is wrong, but not that it was not even looked at.
  const ask = window.fetch;
  window.fetch = async (address, options) => {
    const answer = await ask(address, options);
    if (!/\/login$/.test(`${address}`)) return answer;
    document.querySelector("#too-early")?.remove();
    if (answer.status === 429) {
      const told = Object.assign(document.createElement("p"), { id: "too-early", role: "alert" });
      told.textContent = (await answer.clone().json()).detail[window.pageLanguage];
      document.querySelector("input[type=password]").closest("label, .block").after(told);
    }
    return answer;
  };
  // Gradio sets the class by the system's choice when it starts; the listener's own choice is put back.
  addEventListener("DOMContentLoaded", () => {
    new MutationObserver(() => document.body.classList.contains("dark") !== dark() && paint()).observe(document.body, {
      attributeFilter: ["class"],
    });
    paint();
  });
})();
