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
  // Gradio sets the class by the system's choice when it starts; the listener's own choice is put back.
  addEventListener("DOMContentLoaded", () => {
    new MutationObserver(() => document.body.classList.contains("dark") !== dark() && paint()).observe(document.body, {
      attributeFilter: ["class"],
    });
    paint();
  });
})();
