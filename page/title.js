// The switches beside the title: language, dark or light, and signing out where there is a password.
const say = (key) => props.words[key][window.pageLanguage];
const button = (shown, label, onclick) => {
  const made = document.createElement("button");
  Object.assign(made, { type: "button", textContent: shown, onclick, title: label });
  made.setAttribute("aria-label", label);
  return made;
};
const leave = () => fetch("logout", { method: "POST" }).then(() => location.reload());
element.querySelector("div").replaceChildren(
  button(say("language"), say("language"), () => window.switchLanguage()),
  button("◐", say("look"), () => window.switchLook()),
  ...(props.password ? [button(say("leave"), say("leave"), leave)] : []),
);
