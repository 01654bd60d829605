// The tab of the device. Runs as js_on_load of page/device.py's part: `element`, `props` and `server` are Gradio's. What
// it shows comes in sentences from the server; only what has changed is written, so that nothing flickers.

const PACE = 2000; // milliseconds between two looks while the tab can be seen
const FIELDS = ["device", "backend", "precision"];
const language = window.pageLanguage;
const say = (key) => props.words[key][language];
const make = (tag, set = {}, ...children) => {
  const node = Object.assign(document.createElement(tag), set);
  node.append(...children);
  return node;
};
const region = (role) => {
  const node = make("div");
  node.setAttribute("role", role);
  return node;
};
const button = (key, onclick) =>
  make("button", { type: "button", className: "small-button", textContent: say(key), disabled: true, onclick });
const write = (node, text) => node.textContent !== text && (node.textContent = text);

let busy = false;
let seen = false;
let timer = 0;
let allowed = false;

// --- the parts ----------------------------------------------------------------------------------------------------------

function card(key, ...more) {
  const head = make("header", {}, make("h2", { textContent: say(key) }));
  const facts = make("dl", { className: "device-facts" });
  const lines = make("div");
  const node = make("section", { className: "card" }, head, facts, lines, ...more);
  node.dataset.part = key;
  return { node, head, facts, lines };
}

const verdict = region("status");
const failure = region("alert");
const table = make("table");
const test = button("test", () => act("test", "testing", verdict, failure));
const done = region("status");
const refusal = region("alert");
const apply = button("apply", onApply);
const selects = Object.fromEntries(FIELDS.map((field) => [field, make("select", { disabled: true })]));
const form = make("div", { className: "device-form" });
for (const field of FIELDS) form.append(make("label", {}, make("span", { textContent: say(field) }), selects[field]));
const reason = make("p", { className: "notice", hidden: true });

const cards = {
  use: card("use", verdict, failure, table),
  now: card("now"),
  change: card("change", form, reason, make("div", {}, apply), done, refusal),
  machine: card("machine"),
};
cards.use.head.append(test);
const lost = region("alert");
element
  .querySelector(".device")
  .append(lost, make("div", {}, cards.use.node, cards.change.node), make("div", {}, cards.now.node, cards.machine.node));

// --- what the server says -----------------------------------------------------------------------------------------------

/** Writes only what is new; rows that are there keep their place, and what is marked in them. */
function fill({ head, facts, lines }, { badges, facts: rows, lines: sentences }) {
  while (facts.children.length > rows.length) facts.lastChild.remove();
  rows.forEach(([name, value], i) => {
    if (!facts.children[i]) facts.append(make("div", {}, make("dt"), make("dd")));
    const [term, what] = facts.children[i].children;
    write(term, name);
    write(what, value);
  });
  while (lines.children.length > sentences.length) lines.lastChild.remove();
  sentences.forEach(([sentence, kind], i) => {
    if (!lines.children[i]) lines.append(make("p"));
    lines.children[i].className = kind;
    write(lines.children[i], sentence);
  });
  const old = head.querySelectorAll(".badge");
  badges.forEach(([text, kind], i) => {
    const badge = old[i] ?? head.children[0].insertAdjacentElement("afterend", make("span"));
    badge.className = `badge ${kind}`;
    write(badge, text);
  });
}

function tell(node, sentence, kind) {
  if (!sentence) node.replaceChildren();
  else if (node.textContent !== sentence) node.replaceChildren(make("p", { className: kind, textContent: sentence }));
}

function tellReport(report) {
  tell(verdict, report?.passed ? report.sentence : "", "device-good");
  tell(failure, report && !report.passed ? report.sentence : "", "error");
  const rows = report?.rows ?? [];
  const shown = rows.map((cells) => make("tr", {}, ...cells.map((textContent, i) => (i ? make("td", { textContent }) : make("th", { textContent, scope: "row" })))));
  const titles = ["stage", "difference", "rtf"].map((key) => make("th", { textContent: say(key), scope: "col" }));
  if (table.dataset.rows === JSON.stringify(rows)) return;
  table.dataset.rows = JSON.stringify(rows);
  table.replaceChildren(...(shown.length ? [make("thead", {}, make("tr", {}, ...titles)), make("tbody", {}, ...shown)] : []));
}

/** The choices are filled once and after a change, so that nobody's half-made choice is taken away. */
function choose(choices, anew) {
  for (const field of FIELDS) {
    const [chosen, options] = choices[field];
    if (selects[field].options.length && !anew) continue;
    selects[field].replaceChildren(...options.map(([value, text]) => new Option(text, value)));
    selects[field].value = chosen;
  }
}

function show(got, anew = false) {
  for (const part of ["use", "now", "machine"]) fill(cards[part], got[part]);
  tellReport(got.report);
  choose(got.choices, anew);
  allowed = !got.refused;
  reason.hidden = allowed;
  write(reason, got.refused);
  able();
}

function able() {
  for (const part of [test, apply, ...Object.values(selects)]) part.disabled = busy || !allowed;
}

// --- asking -------------------------------------------------------------------------------------------------------------

async function ask(name, data = {}) {
  try {
    return (await server[name]({ ...data, language })) ?? { error: props.words.lost };
  } catch {
    return { error: props.words.lost };
  }
}

/** Whether it went well. A device that fails its test is no error: the report says it. */
async function act(what, meanwhile, good, bad, data = {}) {
  busy = true;
  const focused = document.activeElement;
  able();
  tell(bad, "");
  tell(good, say(meanwhile), "hint");
  const got = await ask(`device_${what}`, data);
  busy = false;
  tell(good, "");
  if (got.error) tell(bad, got.error[language], "error");
  else show(got, true);
  if (got.done) tell(good, got.done, "device-good");
  able();
  if ([test, apply].includes(focused)) focused.focus(); // a disabled button had lost it
  return !got.error;
}

async function onApply() {
  const wanted = Object.fromEntries(FIELDS.map((field) => [field, selects[field].value]));
  if (await act("use", "applying", done, refusal, wanted)) await act("test", "testing", verdict, failure);
}

async function look() {
  clearTimeout(timer);
  if (!seen || document.hidden) return;
  const got = await ask("device_look");
  tell(lost, got.error?.[language], "error");
  if (!got.error && !busy) show(got);
  clearTimeout(timer);
  if (seen && !document.hidden) timer = setTimeout(look, PACE);
}

window.devicePanel?.abort(); // if Gradio makes the panel anew, only the new one looks
window.devicePanel = new AbortController();
window.devicePanel.signal.addEventListener("abort", () => (seen = false));
document.addEventListener("visibilitychange", look, { signal: window.devicePanel.signal });
new IntersectionObserver(([now]) => {
  seen = now.isIntersecting && !window.devicePanel.signal.aborted;
  look();
}).observe(element);
