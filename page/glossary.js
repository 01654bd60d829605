// The glossary's editor. Runs as js_on_load of its panel: `element`, `props` and `server` are Gradio's.

window.glossaryEditor?.abort(); // if Gradio makes the panel anew, only the new one listens
window.glossaryEditor = new AbortController();
const listening = { signal: window.glossaryEditor.signal };
let base = null; // the file as it was last read; null before that
let told = ""; // what the line below says while nothing is unsaved

const language = window.pageLanguage;
const word = (key, facts = {}) => props.words[key][language].replace(/\{(\w+)\}/g, (_, name) => facts[name]);
const make = (tag, set = {}, ...children) => {
  const node = Object.assign(document.createElement(tag), set);
  node.append(...children);
  return node;
};

const title = make("h2", { textContent: word("title") });
const help = make("p", { className: "hint", id: "glossary-help", textContent: word("help") });
const field = make("textarea", { rows: 8, spellcheck: false, maxLength: props.most, lang: "zh", disabled: true });
const save = make("button", { type: "button", className: "small-button", textContent: word("save"), disabled: true });
const status = make("span", { className: "hint" });
const alert = make("div");
field.placeholder = "重庆 chong2 qing4\n单 shan4";
field.setAttribute("aria-label", word("label"));
field.setAttribute("aria-describedby", help.id);
status.setAttribute("role", "status");
alert.setAttribute("role", "alert");

const isChanged = () => base !== null && field.value !== base;

function tell(what = told) {
  told = what;
  status.textContent = isChanged() ? word("unsaved") : told;
  save.disabled = !isChanged();
}

function complain(pair) {
  alert.replaceChildren(...(pair ? [make("p", { className: "error", textContent: pair[language] })] : []));
}

async function ask(name, data) {
  try {
    return (await server[name](data)) ?? { error: props.words.lost };
  } catch {
    return { error: props.words.lost };
  }
}

/** Takes over what the file holds, unless something was written here meanwhile. */
function take(got) {
  if (isChanged()) {
    if (got.text !== base) complain(props.words.newer); // `base` stays: saving will find out, and bring both together
    return;
  }
  base = field.value = got.text;
  field.disabled = false;
  tell(got.count === null ? "" : word("count", got));
}

async function refresh() {
  const got = await ask("read_glossary", {});
  if (got.error) complain(got.error);
  else take(got);
}

async function onSave() {
  if (!isChanged()) return;
  const written = field.value;
  const got = await ask("save_glossary", { text: written, base });
  complain(got.error);
  if (got.error) {
    if (got.line) select(got.line);
  } else if (got.both !== undefined) {
    base = got.text;
    field.value = got.both;
    tell();
    complain(props.words.changed);
    field.focus();
  } else {
    base = got.text;
    if (field.value === written) field.value = base;
    tell(word("saved", got));
  }
}

/** Shows a line, counted from 1, by selecting it. */
function select(number) {
  const lines = field.value.split("\n");
  const start = lines.slice(0, number - 1).reduce((sum, line) => sum + line.length + 1, 0);
  field.focus();
  field.setSelectionRange(start, start + lines[number - 1].length);
}

field.oninput = () => tell();
field.onkeydown = (event) => {
  if (event.key.toLowerCase() !== "s" || !(event.ctrlKey || event.metaKey)) return;
  event.preventDefault();
  onSave();
};
save.onclick = onSave;
window.addEventListener("beforeunload", (event) => isChanged() && event.preventDefault(), listening);

const card = make("section", { className: "card" }, title);
if (props.why) card.append(make("p", { className: "hint", textContent: word(props.why) }));
else card.append(help, field, alert, make("div", { className: "shelf-row" }, save, status));
element.querySelector(".glossary").append(card);
if (!props.why) new IntersectionObserver(([seen]) => seen.isIntersecting && refresh()).observe(element);
