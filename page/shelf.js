// Projects: presets, history, project files, and files dropped anywhere on the page. Runs as js_on_load of a part that
// is on the page from the start: `element`, `props` and `server` are Gradio's. The panel comes when its tab is opened,
// and calls window.projects.show(element). What is spoken and how it is set belongs to window.studio (editor.js).

const PRESETS = "bv2.presets"; // in localStorage, where the server keeps nothing
const KEEP = "bv2.history"; // "no": this browser's speeches stay out of the history
const SOUNDS = ["wav", "flac", "mp3", "ogg", "opus"];
const SHOWN = 20_000; // milliseconds that a message without a fault stays

window.shelfListeners?.abort(); // if Gradio makes the part anew, only the new one listens
window.shelfListeners = new AbortController();
const listening = { signal: window.shelfListeners.signal };
let kept = { history: [], presets: {} };

// --- words and elements

const language = window.pageLanguage;
const locale = ["zh-CN", "en"][language];
const word = (key, facts = {}) => props.words[key][language].replace(/\{(\w+)\}/g, (_, name) => facts[name]);

function make(tag, set = {}, ...children) {
  const node = document.createElement(tag);
  for (const [key, value] of Object.entries(set)) {
    if (key in node) node[key] = value;
    else node.setAttribute(key, value);
  }
  node.append(...children);
  return node;
}

const button = (text, onclick, set = {}) =>
  make("button", { type: "button", className: "small-button", textContent: text, onclick, ...set });

function ago(when) {
  const seconds = when - Date.now() / 1000;
  const relative = new Intl.RelativeTimeFormat(locale, { numeric: "auto" });
  const units = { year: 31536000, month: 2592000, day: 86400, hour: 3600, minute: 60 };
  const unit = Object.keys(units).find((name) => -seconds >= units[name]);
  return unit ? relative.format(Math.trunc(seconds / units[unit]), unit) : word("now");
}

const duration = (seconds) =>
  seconds < 60
    ? word("seconds", { seconds: seconds.toFixed(1) })
    : `${Math.floor(seconds / 60)}:${String(Math.floor(seconds % 60)).padStart(2, "0")}`;

// --- messages: at the foot of the page, since a file may be dropped while another tab is open

const status = make("div", { role: "status" });
const alert = make("div", { role: "alert" });
const toast = make("div", { className: "shelf-toast" }, status, alert); // there from the start, so that it is read out
const veil = make("div", { className: "shelf-veil", hidden: true, textContent: word("drop") });
let hiding = 0;
document.querySelectorAll(".shelf-toast, .shelf-veil").forEach((old) => old.remove());
(element.closest(".gradio-container") ?? document.body).append(toast, veil);

function announce(place, text, undo) {
  const close = button("×", hide, { className: "shelf-close" });
  close.setAttribute("aria-label", word("close"));
  hide();
  place.replaceChildren(make("span", { textContent: text }));
  if (undo) place.append(button(word("undo"), undo));
  place.append(close);
  if (place === status) hiding = setTimeout(hide, SHOWN);
}

function hide() {
  clearTimeout(hiding);
  status.replaceChildren();
  alert.replaceChildren();
}

const say = (text, undo) => announce(status, text, undo);
const fail = (pair, name) => {
  const text = typeof pair === "string" ? pair : pair[language];
  announce(alert, name ? word("of", { name, fault: text }) : text);
};

// --- the server, and the studio

async function ask(name, data, file) {
  try {
    const answer = await server[name](data);
    if (answer?.error) return fail(answer.error, file);
    if (!answer) throw new Error();
    if (answer.history) kept = { history: answer.history, presets: kept.presets };
    if (answer.presets && !props.why) kept.presets = answer.presets;
    return answer;
  } catch {
    fail(props.words.lost);
  }
}

function studio() {
  if (!window.studio) fail(props.words["not yet"]);
  return window.studio;
}

const field = () => document.querySelector("#text textarea");

/** Sets the page as `change` says, with a way back. Tells whether it went well. */
async function replace(title, change) {
  const now = studio();
  if (!now) return false;
  const [before, controls, text] = [now.project(), now.request(), field()?.value ?? ""];
  try {
    const answer = await change(now);
    if (answer?.error) throw Object.assign(new Error(), { pair: answer.error });
  } catch (error) {
    fail(error.pair ?? (error.message || props.words.lost), title);
    return false;
  }
  document.querySelector("#tab-speak-button")?.click(); // what was opened is there
  const back = async (it) => {
    if (!before.cards.length) return it.load(text, controls);
    const answer = await it.open(before);
    if (!answer?.error) write(text); // it may have been changed since it was spoken
    return answer;
  };
  const undo = async () => (await replace(title, back)) && undone();
  say(word("opened", { name: title }), before.cards.length || text.trim() ? undo : null);
  return true;
}

function write(text) {
  if (!field()) return;
  field().value = text;
  field().dispatchEvent(new Event("input", { bubbles: true })); // Gradio listens to this
}

const undone = () => say(word("undone"));

// --- files

async function save() {
  if (!studio()) return;
  await window.studio.settle?.();
  const project = window.studio.project();
  const text = field()?.value.trim();
  if (!project.cards.length && text) project.cards = [{ text }]; // written, and not spoken yet
  if (!project.cards.length) return fail(props.words.empty);
  const said = project.cards.map((card) => card.text).join("");
  const name = [...said.replace(/[^\p{L}\p{N}]+/gu, "")].slice(0, 16).join("");
  const content = new Blob([JSON.stringify(project, null, 1)], { type: "application/json" });
  const link = make("a", { href: URL.createObjectURL(content), download: `${name || "speech"}.bv2.json` });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
  say(word("saved", { name: link.download }));
}

const base64 = (blob) =>
  new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(reader.result.slice(reader.result.indexOf(",") + 1));
    reader.onerror = reject;
    reader.readAsDataURL(blob);
  });

async function openFile(file) {
  const ending = file.name.toLowerCase().split(".").pop();
  try {
    if (ending === "json") await openProject(file);
    else if (SOUNDS.includes(ending) || file.type.startsWith("audio/")) await openSound(file);
    else fail(word("unknown", file));
  } catch {
    fail(word("unreadable", file)); // it has gone, or is a folder
  }
}

async function openProject(file) {
  if (file.size > props.limits.project) return fail(word("large", { name: file.name, most: props.limits.project >> 20 }));
  let project;
  try {
    project = JSON.parse((await file.text()).replace(/^\ufeff/, ""));
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
    return fail(word("broken", file));
  }
  if (await ask("check_project", project, file.name)) await replace(file.name, (it) => it.open(project));
}

async function openSound(file) {
  const head = await base64(file.slice(0, props.limits.head)); // the recipe stands before the sound
  say(word("reading", file));
  const got = await ask("read_recipe", head, file.name);
  if (!got) return;
  const { text, ...controls } = got.request ?? {};
  await replace(file.name, (it) => (got.project ? it.open(got.project) : it.load(text, controls)));
}

const picker = make("input", { type: "file", hidden: true, accept: [".json", ...SOUNDS.map((s) => `.${s}`)].join() });
picker.onchange = async () => {
  const [file] = picker.files;
  if (file) await openFile(file);
  picker.value = ""; // so that the same file can be chosen again
};

// A file let go where nobody takes it would replace the page. Whoever takes it has prevented that before us.
const isFree = (event) =>
  event.dataTransfer?.types.includes("Files") && !event.defaultPrevented && !event.target.matches?.("input[type=file]");

window.addEventListener("dragover", () => (veil.hidden = true), { capture: true, ...listening });
window.addEventListener(
  "dragover",
  (event) => {
    if (!isFree(event)) return;
    event.preventDefault();
    event.dataTransfer.dropEffect = "copy";
    veil.hidden = false;
  },
  listening,
);
window.addEventListener("dragleave", (event) => event.relatedTarget || (veil.hidden = true), listening);
window.addEventListener("drop", () => (veil.hidden = true), { capture: true, ...listening });
window.addEventListener(
  "drop",
  (event) => {
    if (!isFree(event)) return;
    event.preventDefault();
    const [file] = event.dataTransfer.files;
    if (file) openFile(file);
  },
  listening,
);

// --- presets: on the server, or in this browser where the server keeps nothing

function stored(key, value) {
  try {
    if (value !== undefined) localStorage.setItem(key, value);
    return localStorage.getItem(key);
  } catch {
    return null; // a browser that keeps nothing
  }
}

const preset = (name) => (Object.hasOwn(kept.presets, name) ? kept.presets[name] : null);

/** Puts values under a name, or takes the name away with null. Tells whether it went well. */
async function setPreset(name, values) {
  if (props.why) {
    if (values && !(await ask("check_preset", { values }))) return false;
    const { [name]: _, ...others } = kept.presets;
    kept.presets = values ? { ...others, [name]: values } : others;
    stored(PRESETS, JSON.stringify(kept.presets));
  } else if (!(await ask(values ? "save_preset" : "delete_preset", { name, values }))) {
    return false;
  }
  drawPresets();
  return true;
}

const restorePreset = (name, values) => async () => (await setPreset(name, values)) && undone();

async function savePreset(event) {
  event.preventDefault();
  const name = presetName.value.trim().replace(/\s+/g, " ");
  if (!name) return fail(props.words["preset.unnamed"]);
  if (!studio()) return;
  const before = preset(name);
  if (!(await setPreset(name, window.studio.request()))) return;
  presetName.value = "";
  say(word(before ? "preset.replaced" : "preset.saved", { name }), restorePreset(name, before));
}

async function applyPreset(name) {
  if (!studio()) return;
  if (props.why && !(await ask("check_preset", { values: preset(name) }, name))) return; // an older page kept anything
  const before = window.studio.request();
  await window.studio.set(preset(name));
  say(word("preset.applied", { name }), async () => {
    await window.studio.set(before);
    undone();
  });
}

async function deletePreset(name) {
  const before = preset(name);
  if (!(await setPreset(name, null))) return;
  presetName.focus();
  say(word("preset.deleted", { name }), restorePreset(name, before));
}

function drawPresets() {
  const names = Object.keys(kept.presets).sort(new Intl.Collator(locale).compare);
  const items = names.map((name) =>
    make("li", {}, button(name, () => applyPreset(name)), remover(() => deletePreset(name), "preset.delete", name)),
  );
  presets.replaceChildren(...(items.length ? items : [hint("preset.none", "li")]));
}

// --- history

async function refresh() {
  await ask("list_kept", {});
  drawPresets();
  drawHistory();
}

async function onSpoken({ detail }) {
  if (props.why || stored(KEEP) === "no") return;
  await ask("keep_project", { project: detail.project, seconds: detail.seconds });
  drawHistory();
}

async function openKept(entry) {
  const got = await ask("kept_project", { id: entry.id });
  if (got) await replace(entry.title, (it) => it.open(got.project));
  else await refresh(); // it has gone, so the list is old
}

async function deleteKept(entry, place) {
  const got = await ask("remove_project", { id: entry.id });
  if (!got) return refresh();
  drawHistory();
  (history.querySelectorAll(".shelf-open")[Math.min(place, kept.history.length - 1)] ?? historyTitle).focus();
  say(word("history.deleted", { name: entry.title }), async () => {
    const { seconds, when, order } = entry;
    if (!(await ask("keep_project", { project: got.project, seconds, when, order }))) return;
    drawHistory();
    undone();
  });
}

function askBeforeClearing() {
  const question = word("history.sure", { count: kept.history.length });
  const back = () => {
    drawHistory();
    clearing.firstChild.focus();
  };
  const yes = async () => {
    if (await ask("clear_history", {})) say(word("history.cleared"));
    drawHistory();
    historyTitle.focus();
  };
  const no = button(word("no"), back);
  const group = make("div", { role: "group", "aria-label": question, className: "shelf-row" }, question);
  group.append(button(word("yes"), yes, { className: "small-button shelf-danger" }), no);
  group.addEventListener("keydown", (event) => event.key === "Escape" && back());
  clearing.replaceChildren(group);
  no.focus();
}

function drawHistory() {
  const items = kept.history.map((entry, place) => {
    const facts = make("small", { textContent: `${ago(entry.when)} · ${duration(entry.seconds)}` });
    facts.title = new Date(entry.when * 1000).toLocaleString(locale);
    const open = make("button", { type: "button", className: "shelf-open", onclick: () => openKept(entry) });
    open.append(make("span", { textContent: entry.title, lang: "zh" }), facts);
    return make("li", {}, open, remover(() => deleteKept(entry, place), "history.delete", entry.title));
  });
  history.replaceChildren(...(items.length ? items : [hint("history.none", "li")]));
  clearing.replaceChildren(...(items.length ? [button(word("history.clear"), askBeforeClearing)] : []));
}

// --- the panel

const hint = (key, tag = "p") => make(tag, { className: "hint", textContent: word(key, props) });
const remover = (onclick, key, name) =>
  button("×", onclick, { className: "shelf-remove", "aria-label": word(key, { name }), title: word(key, { name }) });

const presetName = make("input", { type: "text", maxLength: props.limits.name, autocomplete: "off" });
presetName.placeholder = word("preset.name");
presetName.setAttribute("aria-label", word("preset.name"));
const presets = make("ul", { className: "shelf-presets" });
const historyTitle = make("h2", { tabIndex: -1, textContent: word("history") });
const history = make("ul", { className: "shelf-history" });
const clearing = make("div", { className: "shelf-clear" });

function keepSwitch() {
  const box = make("input", { type: "checkbox", role: "switch", checked: stored(KEEP) !== "no" });
  box.onchange = () => stored(KEEP, box.checked ? "yes" : "no");
  const help = make("small", { textContent: word("history.keep.help") });
  return make("label", { className: "shelf-switch" }, box, word("history.keep"), help);
}

function show(panel) {
  const file = make("div", { className: "shelf-row" }, button(word("save"), save), picker);
  file.append(button(word("open"), () => picker.click()));
  const naming = make("form", { className: "shelf-row", onsubmit: savePreset }, presetName);
  naming.append(button(word("preset.save"), null, { type: "submit" }));
  const title = (key) => make("h2", { textContent: word(key) });
  const here = props.why ? [hint("presets.browser")] : [];
  const past = props.why ? [hint(`history.${props.why}`)] : [hint("history.help"), keepSwitch(), history, clearing];
  const card = (...parts) => make("section", { className: "card" }, ...parts);
  const left = make("div", {}, card(title("project"), hint("project.help"), file));
  left.append(card(title("presets"), hint("presets.help"), naming, presets, ...here));
  panel.replaceChildren(left, card(historyTitle, ...past));
  drawPresets();
  drawHistory();
  // Each time that it comes into view: another window may have spoken, and time has passed.
  if (!props.why) new IntersectionObserver((seen) => seen.at(-1).isIntersecting && refresh()).observe(panel);
}

function presetsOfBrowser() {
  try {
    return { ...JSON.parse(stored(PRESETS)) };
  } catch {
    return {};
  }
}

if (props.why) kept.presets = presetsOfBrowser();
document.addEventListener("studio:spoken", onSpoken, listening);
window.projects = { show };
