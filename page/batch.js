// The tab of batches. Runs as js_on_load of page/batch.py's part: `element`, `props` and `server` are Gradio's. The file
// stays here and is sent with each question, so that the server may forget everything; batch_look paces itself, since a
// hidden tab's clocks are slowed down, and its questions are how the server knows that somebody still waits.

const { words, limits, formats, example } = props;
const language = window.pageLanguage ?? (navigator.language.startsWith("zh") ? 0 : 1);
const say = (key, values) => words[key][language].replace(/\{(\w+)\}/g, (_, name) => values[name]);
const several = (one, more, count) => say(count === 1 ? one : more, { count });
const LISTED = 300; // rows of the table; beyond them only those with something to say
const ENDED = ["stopped", "abandoned", "done", "failed"];

function make(tag, properties = {}, ...children) {
  const { aria, ...rest } = properties;
  const node = Object.assign(document.createElement(tag), rest);
  if (aria) node.setAttribute("aria-label", aria);
  node.append(...children);
  return node;
}

const button = (key, className = "") =>
  make("button", { type: "button", className: `batch-button ${className}`, textContent: say(key) });

function option(type, key, checked = false) {
  const input = make("input", { type, checked, name: type === "radio" ? "batch-result" : "" });
  const label = make("label", {}, input, make("span", { textContent: say(key) }));
  return { input, label };
}

// --- the parts ----------------------------------------------------------------------------------------------------------

const input = make("input", { type: "file", accept: ".txt,.csv,.srt,.vtt", hidden: true });
const choose = button("choose");
const fileName = make("strong", { className: "batch-name" });
const drop = make("div", { className: "batch-drop" }, fileName, choose, input);
drop.append(make("span", { className: "batch-hint", textContent: say("drop") }));

const kinds = make("dl");
for (const kind of ["txt", "csv", "srt"]) {
  kinds.append(make("dt", { textContent: kind }), make("dd", { textContent: say(`kind.${kind}`) }));
}
const exampleLink = make("a", { download: "example.csv", textContent: say("example") });
exampleLink.href = URL.createObjectURL(new Blob(["\ufeff", example], { type: "text/csv" })); // Excel wants the mark
kinds.lastChild.previousSibling.previousSibling.append(" ", exampleLink);
const about = make("details", {}, make("summary", { textContent: say("kinds") }), kinds);

const summary = make("p", { className: "batch-summary" });
const lines = make("ol", { className: "batch-lines" });
const wrong = make("div", { className: "batch-wrong" });
const foundBox = make("section", { className: "batch-found", hidden: true }, summary, lines, wrong);

const zip = option("radio", "zip", true);
const joined = option("radio", "joined");
const paragraphs = option("checkbox", "paragraphs");
const fit = option("checkbox", "fit", true);
const fitHelp = make("p", { className: "batch-hint", textContent: say("fit.help") });
const format = make("select", { aria: say("format") });
for (const name of formats) format.append(new Option(words[`format.${name}`] ? say(`format.${name}`) : name, name));
const options = make(
  "fieldset",
  { className: "batch-options", hidden: true },
  make("legend", { textContent: say("result") }),
  zip.label,
  joined.label,
  make("label", {}, make("span", { textContent: say("format") }), format),
  paragraphs.label,
  fit.label,
  fitHelp,
);
const settings = make("p", { className: "batch-hint" });

const begin = button("start", "batch-primary");
const halt = button("stop");
const download = button("download.zip", "batch-primary");
const report = button("download.report");
const buttons = make("div", { className: "batch-buttons", hidden: true }, download, begin, halt, report);

const bar = make("progress", { max: 1, value: 0, aria: say("making") });
const where = make("p", { className: "batch-hint" });
const progress = make("div", { hidden: true }, bar, where);
const state = make("p", { className: "batch-state", role: "status" });
const fault = make("p", { className: "batch-error", role: "alert" });

const body = make("tbody", { role: "rowgroup" });
const columns = ["line", "text", "status", "seconds", "speed"];
const head = make("tr", { role: "row" });
for (const key of columns) head.append(make("th", { role: "columnheader", textContent: say(`column.${key}`) }));
// The roles are named, since a phone shows rows as blocks, and browsers then forget that it is a table.
const table = make("table", { role: "table", aria: say("table") }, make("thead", { role: "rowgroup" }, head), body);
const sum = make("p");
const unlisted = make("p", { className: "batch-hint", textContent: say("hidden", { count: LISTED }), hidden: true });
const scroll = make("div", { className: "batch-scroll", tabIndex: 0, role: "region", aria: say("table") }, table);
const results = make("section", { hidden: true }, sum, scroll, unlisted);

const box = element.querySelector(".batch");
box.append(
  make("p", { className: "batch-intro", textContent: say("intro") }),
  drop,
  about,
  foundBox,
  options,
  settings,
  buttons,
  progress,
  state,
  fault,
  results,
);

function tell(sentence, problem = "") {
  state.textContent = sentence;
  fault.textContent = problem;
}

// --- the file -----------------------------------------------------------------------------------------------------------

let file = null; // { name, data: base64, kind }
let job = ""; // id of the batch that is followed
let busy = false; // it is being made
let ready = false; // the file was read without a fault
let turn = 0; // of what was chosen last

const base64 = (blob) =>
  new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(reader.result.slice(reader.result.indexOf(",") + 1));
    reader.onerror = () => reject(reader.error);
    reader.readAsDataURL(blob);
  });

async function ask(what, about) {
  const got = await server[what](about).catch(() => null);
  return got && typeof got === "object" ? got : { error: words.lost };
}

async function pick(chosen) {
  if (busy) return;
  if (chosen.size > limits.bytes) return tell("", say("large", { file: chosen.name, most: Math.floor(limits.bytes / 1e6) }));
  forget();
  const mine = ++turn;
  const data = await base64(chosen).catch(() => null);
  if (mine !== turn) return;
  if (data === null) return tell("", words.lost[language]);
  file = { name: chosen.name, data, kind: chosen.name.split(".").pop().toLowerCase() };
  await read();
}

async function read() {
  const mine = ++turn;
  ready = false;
  tell(say("reading"));
  show();
  const request = controls();
  const got = await ask("batch_read", { ...file, paragraphs: paragraphs.input.checked, request });
  if (mine !== turn) return;
  if (got.error) return tell("", got.error[language]);
  ready = true;
  tell("");
  showFound(got);
  show();
}

const controls = () => window.studio?.request() ?? {};

function showFound(got) {
  const parts = [say("found", got)];
  if (got.span) parts.push(say("span", { start: clock(got.span[0]), end: clock(got.span[1]) }));
  summary.textContent = parts.join(" · ");
  lines.replaceChildren(...got.first.map(foundLine));
  if (got.count > got.first.length) {
    lines.append(make("li", { className: "batch-hint batch-more", textContent: say("more", { count: got.count - got.first.length }) }));
  }
  wrong.replaceChildren(...got.notices.map((pair) => make("p", { className: "batch-notice", textContent: pair[language] })));
  if (got.faulty) {
    const each = got.faults.map(([line, ...pair]) => `${say("line", { line })}${language ? ": " : "："}${pair[language]}`);
    if (got.faulty > each.length) each.push(say("more", { count: got.faulty - each.length }));
    const list = make("ul", {}, ...each.map((textContent) => make("li", { textContent })));
    wrong.append(make("div", { className: "batch-notice" }, several("faulty.one", "faulty", got.faulty), list));
  }
}

function foundLine({ line, text, slot, options }) {
  const notes = [...(slot ? [`${clock(slot[0])} – ${clock(slot[1])}`] : []), ...options].join(" · ");
  return make(
    "li",
    {},
    make("span", { className: "batch-number", textContent: line }),
    make("span", { lang: "zh", textContent: text }),
    make("span", { className: "batch-hint", textContent: notes }),
  );
}

function clock(seconds) {
  const [hours, minutes] = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60];
  const rest = (seconds % 60).toFixed(1).padStart(4, "0");
  return hours ? `${hours}:${String(minutes).padStart(2, "0")}:${rest}` : `${minutes}:${rest}`;
}

// --- the batch ----------------------------------------------------------------------------------------------------------

function listener() {
  if (!localStorage.batchListener) {
    const random = crypto.getRandomValues(new Uint8Array(16));
    localStorage.batchListener = Array.from(random, (x) => x.toString(16).padStart(2, "0")).join("");
  }
  return localStorage.batchListener; // what others ask for never meets what was asked for here
}

async function start() {
  if (busy) return;
  busy = true;
  clear();
  tell(say("starting"));
  show();
  const got = await ask("batch_start", {
    name: file.name,
    data: file.data,
    paragraphs: file.kind === "txt" && paragraphs.input.checked,
    fit: fit.input.checked,
    joined: joined.input.checked,
    format: format.value,
    request: controls(),
    listener: listener(),
  });
  if (got.error) {
    busy = false;
    tell("", got.error[language]);
    return show();
  }
  sessionStorage.batchJob = got.id; // a reload goes on looking
  await follow(got.id);
}

async function follow(id) {
  job = id;
  busy = true;
  for (let seen = 0; job === id; ) {
    const got = await ask("batch_look", { id, seen });
    if (job !== id) return;
    if (got.error && !got.state) {
      tell(say("lost")); // nothing is lost: asked again until there is an answer
      await new Promise((resume) => setTimeout(resume, 1000));
      continue;
    }
    if (got.gone) return ended(got);
    got.rows.forEach(addRow);
    seen += got.rows.length;
    showProgress(got);
    if (ENDED.includes(got.state) && seen >= got.done) return ended(got);
  }
}

function showProgress(got) {
  const sentence = { waiting: "waiting", making: got.stopping ? "stopping" : "making" }[got.state];
  if (sentence && state.textContent !== say(sentence)) tell(say(sentence));
  const inside = got.at ? got.at[1] / got.at[2] : 0;
  bar.value = Math.min(1, (got.done + inside) / got.total);
  const parts = [say("progress", got)];
  if (got.at) {
    const [item, sentence, sentences] = got.at;
    if (sentences > 1) parts.push(say("sentence", { item, sentence, sentences }));
  }
  if (got.left !== null) parts.push(say("left", { time: duration(got.left) }));
  where.textContent = parts.join(" · ");
  sum.textContent = say("sum", { ...got.counts, seconds: got.seconds.toFixed(1) });
  if (got.unfit) sum.textContent += ` · ${several("sum.unfit.one", "sum.unfit", got.unfit)}`;
  show(got);
}

function ended(got) {
  busy = false;
  if (got.state === "abandoned" && file) return start(); // the clock of this computer stood still, not its listener
  const made = got.size > 0;
  if (got.gone) tell(say("gone"));
  else if (got.state === "failed") tell("", got.error[language]);
  else if (got.state === "done") tell(made ? say("done") : "", made ? "" : say("done.nothing"));
  else tell(say(file ? "stopped" : "stopped.choose"));
  const complete = got.state === "done" && got.counts.failed === 0;
  begin.textContent = complete ? say("start") : got.state === "done" ? say("again") : say("resume");
  if (got.gone) delete sessionStorage.batchJob;
  show(got);
}

function duration(seconds) {
  const whole = Math.round(seconds);
  const minutes = Math.floor(whole / 60);
  if (minutes >= 60) return say("hours", { hours: Math.floor(minutes / 60), minutes: minutes % 60 });
  return minutes ? say("minutes", { minutes, seconds: whole % 60 }) : say("seconds", { seconds: whole });
}

function addRow(row) {
  results.hidden = false;
  const telling = row.notes.length || row.status === "failed";
  if (body.rows.length >= LISTED && (!telling || body.rows.length >= 3 * LISTED)) {
    unlisted.hidden = false;
    return;
  }
  const text = make("span", { lang: "zh", textContent: row.text });
  const notes = row.notes.map((pair) => make("small", { textContent: pair[language] }));
  const status = row.unfit ? "unfit" : row.status;
  const badge = make("span", { className: `batch-badge ${status}`, textContent: say(status) });
  const [seconds, speed] = row.status === "failed" ? ["", ""] : [row.seconds.toFixed(1), `${row.speed}×`];
  const cells = [[row.line], [text, ...notes], [badge], [seconds], [speed]];
  body.append(make("tr", { role: "row" }, ...cells.map((parts) => make("td", { role: "cell" }, ...parts))));
  const below = scroll.scrollHeight - scroll.scrollTop - scroll.clientHeight;
  if (below < 120) scroll.scrollTop = scroll.scrollHeight; // whoever has scrolled up is reading
}

function clear() {
  body.replaceChildren();
  results.hidden = unlisted.hidden = true;
  bar.value = 0;
  where.textContent = "";
}

function forget() {
  clear();
  file = null;
  job = "";
  begin.textContent = say("start");
  delete sessionStorage.batchJob;
  tell("");
  show();
}

async function take(what) {
  const got = await ask("batch_take", { id: job, what });
  if (got.error) return tell("", got.error[language]);
  const link = make("a", { href: new URL(got.address, document.baseURI).href, download: "" });
  document.body.append(link);
  link.click();
  link.remove();
}

/** What can be seen and pressed now; `got` is the last that is known of a batch. */
function show(got = {}) {
  const done = got.state === "done" && got.size > 0;
  const subtitles = file?.kind === "srt" || file?.kind === "vtt";
  fileName.textContent = file?.name ?? "";
  choose.textContent = say(file ? "other" : "choose");
  choose.disabled = options.disabled = busy;
  foundBox.hidden = options.hidden = !ready || !file;
  paragraphs.label.hidden = file?.kind !== "txt";
  fit.label.hidden = fitHelp.hidden = !subtitles;
  buttons.hidden = !busy && !done && !(ready && file);
  begin.classList.toggle("batch-primary", !done);
  showSettings();
  begin.hidden = busy || !ready || !file || (done && got.counts.failed === 0);
  halt.hidden = !busy;
  halt.disabled = Boolean(got.stopping);
  download.hidden = !done;
  report.hidden = !done || got.ending === "zip";
  progress.hidden = !busy;
  if (done) {
    const label = got.ending === "zip" ? say("download.zip") : say("download.sound", { format: got.ending });
    download.textContent = `${label} (${(got.size / 1e6).toFixed(1)} MB)`;
  }
}

/** Who speaks and how, in short: the controls are on another tab. */
function showSettings() {
  const { voice, speaker, emotion, speed } = controls();
  const parts = [voice, speaker, window.sample?.name || emotion, speed && `${speed}×`].filter(Boolean);
  settings.hidden = options.hidden || !parts.length;
  settings.textContent = say("with", { settings: parts.join(" · ") });
}

// --- buttons ------------------------------------------------------------------------------------------------------------

choose.onclick = () => input.click();
begin.onclick = async () => {
  const going = start();
  halt.focus({ preventScroll: true }); // the button pressed has gone
  await going;
};
halt.onclick = () => {
  halt.disabled = true;
  tell(say("stopping"));
  ask("batch_stop", { id: job });
};
download.onclick = () => take("sound");
report.onclick = () => take("report");
input.onchange = () => {
  const [chosen] = input.files;
  input.value = ""; // the same file may be chosen again
  if (chosen) pick(chosen);
};
paragraphs.input.onchange = read;
for (const changed of [zip.input, joined.input, format, fit.input, paragraphs.input]) {
  changed.addEventListener("change", () => {
    begin.textContent = say("start");
    show();
  });
}

box.addEventListener("dragover", (event) => {
  if (!event.dataTransfer.types.includes("Files")) return;
  event.preventDefault();
  event.stopPropagation();
  drop.classList.add("over");
});
box.addEventListener("dragleave", (event) => {
  if (!box.contains(event.relatedTarget)) drop.classList.remove("over");
});
box.addEventListener("drop", (event) => {
  drop.classList.remove("over");
  const [chosen] = event.dataTransfer.files;
  if (!chosen) return;
  event.preventDefault();
  event.stopPropagation(); // the page may take dropped files, too
  pick(chosen);
});

new IntersectionObserver(showSettings).observe(box); // the tab was opened
show();
if (sessionStorage.batchJob) follow(sessionStorage.batchJob);
