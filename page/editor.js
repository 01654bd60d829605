// The editor: a text in cards, spoken while it is made, every card again by itself. It runs as js_on_load of its
// component after look.js, player.js and cards.js. The project lives here and in the browser's storage; the server
// makes sound and keeps what it has made.

const STORED = "speech-project"; // where the browser keeps the project over a reload
const AHEAD = 30; // seconds of sound handed to the audio clock in advance
const MOST_UNDONE = 60;
const MOST_SAMPLES = 60e6; // of takes that are kept; the oldest that no card needs make room

const words = props.words;
const say = (key, facts = {}) => words[key][window.pageLanguage].replace(/\{(\w+)\}/g, (_, name) => facts[name]);
const parts = build(element);
const part = (name) => parts[name];
const audio = part("audio");
const player = new Player();
const made = new Map(); // take by the key of its request: {waves, rate, samples, seconds, times, done}

let listener = "";
let voices = {};
let controls = {};
let text = "";
let cards = [];
let undone = [];
let run = 0; // number of the latest speech; what belongs to an older one is let go
let playing = null; // {cards, keys, at, part, ended}: what is being handed to the player
let making = null; // the server's name for what it makes for this page
let whole = null; // the file of everything: {current, offsets}, current: the keys of its cards
let counter = 0;
let settled = null; // tells who has set controls that they are set

// --- the project -----------------------------------------------------------------------------------------------------

function newCard({ text, place = 0, ends = "sentence", options = {}, pause = null, locked = false, takes = [], chars = [], changes = [] }) {
  const card = { id: (counter += 1), text, place, ends, options: { ...options }, pause, locked, takes: [...takes], chars, changes };
  card.view = new CardView(card, act);
  return card;
}

const plain = ({ text, place, ends, options, pause, locked, takes }) => ({ text, place, ends, options: { ...options }, pause, locked, takes: [...takes] });
const project = () => ({ format: "bert-vits2 project", version: 1, controls: settings(), cards: cards.map(plain) });

const settings = () => ({ ...controls });

// Of several cards the first may be cut as the first sentence of a text is, to be heard sooner, and no other.
function request(card) {
  const seed = ((controls.seed ?? 0) + card.place) % 2 ** 32;
  const opens = cards.length > 1 ? card.id === cards[0].id : null;
  return { ...controls, sample: window.sample?.id || "", seed, ...card.options, text: card.text, opens };
}

// What makes a way to say a card, wherever it stands.
function way(card) {
  const { text, sample, opens, ...options } = request(card);
  return { text, options };
}

const UNCUT = /^[\u3400-\u9fff]*[。！？!?]*$/; // without a pause in it nothing is cut: such a card sounds the same at any place
function key(card) {
  const { opens, ...rest } = request(card);
  return JSON.stringify(Object.entries(UNCUT.test(card.text) ? rest : { ...rest, opens }).sort());
}
const take = (card) => made.get(key(card));
const pause = (card) => card.pause ?? (card.ends === "paragraph" ? controls.paragraph_pause : controls.pause);

function typed() {
  return cards.map((card, i) => card.text + (card.ends === "paragraph" && i < cards.length - 1 ? "\n" : "")).join("");
}

function showText(value) {
  const area = document.querySelector("#text textarea");
  if (area.value === value) return;
  area.value = value;
  area.dispatchEvent(new Event("input", { bubbles: true }));
}

// Before every change: Ctrl+Z goes back to it.
function keep() {
  undone.push(cards.map((card) => ({ ...plain(card), chars: card.chars, changes: card.changes })));
  undone.splice(0, undone.length - MOST_UNDONE);
}

function undo() {
  if (!undone.length) return;
  cards = undone.pop().map(newCard);
  changed();
  status(say("undone"));
}

let saving = 0;
function changed() {
  showText(typed());
  show();
  clearTimeout(saving);
  saving = setTimeout(store, 300);
}

function store() {
  try {
    if (cards.length) localStorage.setItem(STORED, JSON.stringify({ text, project: project() }));
    else localStorage.removeItem(STORED);
  } catch {} // full, or forbidden: the page works without it
}

// --- what is on the page ---------------------------------------------------------------------------------------------

function show() {
  const list = part("cards");
  const focused = document.activeElement;
  const elements = cards.map((card) => card.view.element);
  if (list.children.length !== elements.length || elements.some((one, i) => list.children[i] !== one)) {
    list.replaceChildren(...elements);
    if (focused?.isConnected) focused.focus();
  }
  cards.forEach(refresh);
  part("bar").hidden = !cards.length;
  part("undo").disabled = !undone.length;
  part("empty").hidden = cards.length > 0;
  const current = cards.map(key).join();
  if (whole && whole.current !== current) part("whole").hidden = true;
}

function refresh(card) {
  const sound = take(card);
  card.view.refresh(cards.indexOf(card), cards.length, {
    sound: sound ? (sound.done ? "made" : "making") : "stale",
    playing: playing?.cards.length === 1 && playing.cards[0] === card,
    take: card.takes.findIndex((one) => same(one, card)),
    pause: pause(card),
  });
}

function same(one, card) {
  const { text, options } = way(card);
  return one.text === text && Object.entries(options).every(([name, value]) => one.options[name] === value);
}

function status(sentence, kind = "") {
  const line = part("state");
  line.textContent = sentence;
  line.className = `state ${kind}`;
}

function fail(error) {
  status("");
  part("error").textContent = error[window.pageLanguage];
}

function notice(pairs) {
  const lines = pairs.map((pair) => pair[window.pageLanguage]);
  const there = [...part("notices").children].map((line) => line.textContent);
  part("notices").append(...[...new Set(lines)].filter((line) => !there.includes(line)).map((line) => make("p", { class: "notice" }, line)));
}

function clear() {
  part("error").textContent = "";
  part("notices").replaceChildren();
  part("stages").replaceChildren();
}

const clock = (seconds) => `${Math.floor(seconds / 60)}:${String(Math.floor(seconds % 60)).padStart(2, "0")}`;

// The parts that the cards stand between. Built here, since their words depend on the listener's language.
function build(host) {
  const found = {};
  const named = (name, tag, attributes = {}, ...children) => (found[name] = make(tag, { "data-part": name, ...attributes }, ...children));
  const button = (name, shown) => named(name, "button", { type: "button", class: "small-button" }, shown);
  const formats = props.formats.map((format) => make("option", { value: format }, format));
  const [lead, ...steps] = words.empty[window.pageLanguage].split("\n");
  host.querySelector(".editor").replaceChildren(
    make(
      "div",
      { class: "standing" },
      make("div", { class: "player", "data-state": "idle", "aria-hidden": "true" }, make("i"), make("i"), make("i")),
      named("state", "p", { class: "state", role: "status" }),
      named("left", "span", { class: "hint", "aria-hidden": "true" }),
    ),
    named("progress", "progress", { max: 1, hidden: true, "aria-label": say("progress") }),
    named("error", "p", { class: "error", role: "alert" }),
    named("notices", "div", { role: "status" }),
    named(
      "whole",
      "section",
      { class: "whole", hidden: true, "aria-label": say("whole") },
      named("audio", "audio", { controls: true, preload: "metadata", "aria-label": say("whole") }),
      make(
        "div",
        { class: "files" },
        named("format", "select", { "aria-label": say("format") }, ...formats),
        button("download", say("download", { format: props.formats[0] })),
        named("saving", "span", { class: "hint", role: "status" }),
      ),
    ),
    named("stages", "div"),
    named("bar", "div", { class: "bar", hidden: true }, button("play", say("play all")), button("reroll", say("reroll all")), button("undo", say("undo"))),
    named("empty", "div", { class: "empty" }, make("p", {}, lead), make("ul", {}, ...steps.map((step) => make("li", {}, step)))),
    named("cards", "ol", { class: "cards", "aria-label": say("cards") }),
  );
  return found;
}

// --- asking the server -----------------------------------------------------------------------------------------------

// A lost connection is asked again: nothing is skipped, and a server that is back goes on.
async function ask(name, data, tries = 12) {
  for (let failures = 0; ; ) {
    try {
      const answer = await server[name](data);
      if (answer) return answer;
    } catch {}
    failures += 1;
    if (failures >= tries) return { error: words["no connection"] };
    await new Promise((resume) => setTimeout(resume, 500));
  }
}

// Has something made that takes its turns on the server, and waits for it; nothing if `current` turns false meanwhile.
async function obtain(name, data, current = () => true) {
  const started = await ask(name, { listener, ...data });
  for (let next = 0; started.run; ) {
    const got = await ask("pieces", { run: started.run, next });
    if (!current() || got.parts?.length) server.stop({ run: started.run }); // what has come need not be kept for us
    if (!current()) return {};
    if (got.parts?.length) return got.parts[0];
    if (got.error) return got;
    if (got.done) return { error: words["no connection"] };
  }
  return started;
}

// --- speaking --------------------------------------------------------------------------------------------------------

function halt() {
  run += 1;
  player.stop();
  audio.pause();
  if (making) server.stop({ run: making });
  making = null;
  for (const [name, one] of made) if (!one.done) made.delete(name);
  playing = null;
  light(null);
  progress(null);
  show();
}

// The text as it stands: sentences that were there before keep their takes, settings and seeds.
async function speak() {
  halt();
  player.open(rate());
  clear();
  status(say("preparing"));
  const mine = run;
  const answer = await ask("read", { text, controls: settings() });
  if (mine !== run) return;
  if (answer.error) return fail(answer.error);
  merge(answer.cards);
  await play(cards, true);
}

function merge(read) {
  const old = [...cards];
  const next = read.map((found) => {
    const at = old.findIndex((card) => card.text === found.text && !card.used);
    if (at < 0) return newCard(found);
    const [card] = old.splice(at, 1);
    Object.assign(card, { ends: found.ends, chars: found.chars, changes: found.changes });
    card.view.read();
    return card;
  });
  if (old.length || next.length !== cards.length) keep();
  cards = next;
  show();
  store();
}

const rate = () => voices[controls.voice]?.rate ?? 22050;

// Sounds cards one after the other: those that are made at once, the others as they are made.
async function play(list, complete = false) {
  const mine = (run += 1);
  playing = { cards: [...list], keys: list.map(key), at: 0, part: 0 };
  const lacking = list.filter((card, i) => !made.get(playing.keys[i])?.done && playing.keys.indexOf(playing.keys[i]) === i);
  feed();
  show();
  let failed = false;
  if (lacking.length) failed = !(await produce(lacking.map(request), lacking.map(key), mine));
  else status(say("known"), "done");
  if (mine !== run) return;
  for (const card of list) remember(card);
  playing.ended = true;
  feed();
  show();
  if (!failed && cards.length && cards.every((card) => take(card)?.done)) await deliver(complete);
}

// Has requests made; true if all of them were. Sound and progress come on the way.
async function produce(requests, keys, mine) {
  const began = performance.now();
  const characters = requests.map((one) => one.text.length);
  const stages = {};
  let [first, sound, finished] = [null, 0, 0];
  const started = await ask("speak", { listener, requests });
  if (mine !== run) return started.run && server.stop({ run: started.run }), false;
  if (started.error) return fail(started.error), false;
  making = started.run;
  for (let next = 0; ; ) {
    const got = await ask("pieces", { run: started.run, next });
    if (mine !== run) return false;
    if (got.error && !got.parts) return fail(got.error), false;
    for (const one of got.parts) {
      first ??= (performance.now() - began) / 1000;
      sound += add(keys[one.card], one);
      for (const [stage, seconds] of Object.entries(one.timings ?? {})) stages[stage] = (stages[stage] ?? 0) + seconds;
      if (one.notices) notice(one.notices);
      if (one.last) finished = one.card + 1;
    }
    feed();
    for (const name of new Set(got.parts.map((one) => keys[one.card]))) cards.filter((card) => key(card) === name).forEach(refresh);
    if (got.error) {
      for (const name of keys) if (made.get(name) && !made.get(name).done) made.delete(name);
      progress(null);
      show();
      return fail(got.error), false;
    }
    if (got.done) break;
    next = got.next;
    const spent = (performance.now() - began) / 1000;
    const share = characters.slice(0, finished).reduce((a, b) => a + b, 0) / characters.reduce((a, b) => a + b, 0);
    status(got.waiting ? say("waiting") : say("speaking", { number: Math.min(finished + 1, keys.length), count: keys.length }));
    progress(share, share > 0 ? (spent / share) * (1 - share) : 0);
  }
  progress(null);
  if (finished < keys.length) return false;
  status(say("finished", { seconds: sound.toFixed(1), first: first.toFixed(2) }), "done");
  if (Object.keys(stages).length) drawStages(part("stages"), stages, sound, words);
  return true;
}

// A part from the server joins its take; returns its seconds.
function add(name, one) {
  if (!made.has(name)) made.set(name, { waves: [], rate: one.rate, samples: 0, seconds: 0, times: [], done: false });
  const take = made.get(name);
  const bytes = Uint8Array.from(atob(one.pcm), (character) => character.charCodeAt(0));
  const wave = new Int16Array(bytes.buffer);
  const pause = Math.round((one.pause ?? 0) * one.rate) / one.rate; // as the file has it, in whole samples
  const seconds = wave.length / one.rate + pause;
  take.waves.push({ wave, pause, begin: take.seconds });
  take.samples += wave.length;
  take.seconds += seconds;
  if (one.times) take.times[one.sentence] = one.times;
  take.done = one.last;
  if (take.done) take.all = take.times.flat();
  forget();
  return seconds;
}

function forget() {
  let total = 0;
  for (const take of made.values()) total += take.samples;
  if (total <= MOST_SAMPLES) return;
  const needed = new Set(cards.map(key));
  for (const [name, take] of made) {
    if (total <= MOST_SAMPLES) return;
    if (needed.has(name) || !take.done) continue;
    total -= take.samples;
    made.delete(name);
  }
}

// Hands to the player what is there, in order.
function feed() {
  while (playing && playing.at < playing.cards.length && player.context && player.ahead < AHEAD) {
    const card = playing.cards[playing.at];
    const take = made.get(playing.keys[playing.at]);
    if (!take) return;
    if (playing.part < take.waves.length) {
      const { wave, pause, begin } = take.waves[playing.part];
      player.add(wave, take.rate, { card, take, before: begin });
      player.rest(pause);
      playing.part += 1;
    } else if (take.done) {
      if (playing.at < playing.cards.length - 1) player.rest(pause(card));
      playing.at += 1;
      playing.part = 0;
    } else return;
  }
}

function progress(share, left = 0) {
  const bar = part("progress");
  bar.hidden = share === null;
  if (share !== null) bar.value = share;
  part("left").textContent = share !== null && left > 3 ? say("left", { time: left < 90 ? `${Math.ceil(left)} ${say("s")}` : `${Math.ceil(left / 60)} ${say("min")}` }) : "";
}

// A way that a card was said joins its takes.
function remember(card) {
  if (!take(card)?.done || card.takes.some((one) => same(one, card))) return;
  card.takes = [...card.takes, way(card)].slice(-props.most_takes);
}

// --- the whole -------------------------------------------------------------------------------------------------------

async function deliver(spoken) {
  const mine = run;
  const current = cards.map(key).join();
  const same = () => mine === run && current === cards.map(key).join();
  const answer = await obtain("file", { project: project(), format: "wav", sample: window.sample?.id || "" }, same);
  if (!same()) return;
  if (answer.error) return fail(answer.error);
  let start = 0;
  const offsets = cards.map((card, i) => {
    const begin = start;
    start += take(card).seconds + (i < cards.length - 1 ? pause(card) : 0);
    return { card, begin, take: take(card) };
  });
  whole = { current, offsets };
  audio.src = answer.address;
  part("whole").hidden = false;
  store();
  if (spoken) document.dispatchEvent(new CustomEvent("studio:spoken", { detail: { project: project(), seconds: answer.seconds } }));
}

async function download() {
  const format = part("format").value;
  const button = part("download");
  button.disabled = true;
  part("saving").textContent = say("saving");
  const answer = await obtain("file", { project: project(), format, sample: window.sample?.id || "" });
  button.disabled = false;
  part("saving").textContent = "";
  if (answer.error) return fail(answer.error);
  make("a", { href: answer.address, download: answer.name }).click();
}

// --- the character that sounds ---------------------------------------------------------------------------------------

let lit = null;
function light(char) {
  if (lit === char) return;
  lit?.classList.remove("now");
  lit?.closest(".sentence")?.classList.remove("sounding");
  lit = char;
  lit?.classList.add("now");
  lit?.closest(".sentence")?.classList.add("sounding");
}

function sounding() {
  if (player.context) {
    const heard = player.heard();
    return heard && { card: heard.card, take: heard.take, seconds: heard.before + heard.passed };
  }
  if (audio.paused || !whole) return null;
  const at = whole.offsets.findLast(({ begin }) => begin <= audio.currentTime);
  return at && { card: at.card, take: at.take, seconds: audio.currentTime - at.begin };
}

setInterval(() => {
  feed();
  const now = sounding();
  const times = now && (now.take.all ?? now.take.times.flat());
  const index = times ? times.findIndex(([start, end]) => start <= now.seconds && now.seconds < end) : -1;
  light(index >= 0 ? (now.card.view.chars[index] ?? null) : null);
  if (now) now.card.picture?.playhead(now.seconds);
  element.querySelector(".player").dataset.state = player.sounding ? "playing" : "idle";
  if (playing?.ended && player.context && !player.sounding) {
    player.stop();
    playing = null;
    show();
  }
}, 50);

// --- what a click on a card does -------------------------------------------------------------------------------------

async function replay(card) {
  halt();
  player.open(rate());
  clear();
  await play([card]);
}

const act = {
  voice: (card) => voices[card.options.voice ?? controls.voice] ?? { speakers: [], emotions: [] },

  play(card) {
    if (playing?.cards.length === 1 && playing.cards[0] === card) halt();
    else replay(card);
  },

  reroll(card) {
    keep();
    card.options = { ...card.options, seed: Math.floor(Math.random() * 2 ** 32) };
    changed();
    replay(card);
  },

  set(card, name, value) {
    keep();
    const options = { ...card.options };
    const numeric = typeof controls[name] === "number";
    if (value === "" || (numeric && !Number.isFinite(Number(value)))) delete options[name];
    else options[name] = numeric ? Number(value) : value;
    card.options = options;
    changed();
  },

  async settle(card, i, reading, remembered) {
    const char = card.chars[i];
    const answer = await ask("reading", { text: card.text, position: char.position, reading });
    if (answer.error) return answer.error[window.pageLanguage];
    if (remembered) {
      const kept = await ask("remember", { text: answer.text, position: char.position });
      if (kept.error) return kept.error[window.pageLanguage];
      status(say("remembered", { word: kept.term }));
    }
    keep();
    if (await rewritten(card, answer.text)) replay(card);
    return "";
  },

  async rewrite(card, value) {
    if (!value.trim()) return this.remove(card);
    keep();
    if (await rewritten(card, value)) replay(card);
  },

  lock(card) {
    keep();
    card.locked = !card.locked;
    const { options } = way(card);
    card.options = card.locked ? options : Object.fromEntries(Object.entries(options).filter(([name, value]) => controls[name] !== value));
    changed();
    if (!card.view.panel.hidden) card.view.fill();
  },

  move(card, step) {
    keep();
    const at = cards.indexOf(card);
    cards.splice(at, 1);
    cards.splice(at + step, 0, card);
    changed();
    status(say("moved", { number: at + step + 1 }));
  },

  remove(card) {
    keep();
    const at = cards.indexOf(card);
    cards = cards.filter((one) => one !== card);
    changed();
    (cards[at] ?? cards[at - 1])?.view.play.focus();
    status(say("removed"));
  },

  async choose(card, i) {
    keep();
    const chosen = card.takes[i];
    card.options = Object.fromEntries(Object.entries(chosen.options).filter(([name, value]) => controls[name] !== value));
    card.options.seed = chosen.options.seed;
    if (chosen.text !== card.text) await rewritten(card, chosen.text);
    changed();
    replay(card);
  },

  pause(card, value) {
    keep();
    const seconds = Number(value);
    card.pause = value === "" || !Number.isFinite(seconds) ? null : Math.min(10, Math.max(0, seconds));
    changed();
    if (cards.every((one) => take(one)?.done)) deliver(false);
  },

  async six(card, host) {
    const emotions = act.voice(card).emotions.slice(0, 6);
    halt();
    player.open(rate());
    clear();
    const mine = (run += 1);
    const others = emotions.map(([emotion]) => ({ ...card, options: { ...card.options, emotion } }));
    host.replaceChildren(
      ...emotions.map(([, ...names], i) => {
        const hear = make("button", { type: "button", class: "hear", disabled: true, onclick: () => replay(others[i]) }, names[window.pageLanguage]);
        const use = make("button", { type: "button", class: "choice", disabled: card.locked, onclick: () => act.set(card, "emotion", emotions[i][0]) }, say("six.use"));
        use.setAttribute("aria-label", `${say("six.use")}: ${names[window.pageLanguage]}`);
        return make("div", { class: "one" }, hear, use);
      }),
    );
    const watching = setInterval(() => {
      host.querySelectorAll(".hear").forEach((button, i) => (button.disabled = !made.get(key(others[i]))?.done));
    }, 100);
    playing = { cards: others, keys: others.map(key), at: 0, part: 0 };
    const lacking = others.filter((one) => !take(one)?.done);
    if (!lacking.length || (await produce(lacking.map(request), lacking.map(key), mine))) status(say("six.ready"), "done");
    if (mine === run) playing.ended = true;
    setTimeout(() => clearInterval(watching), 500);
  },

  async look(card, host) {
    if (host.childElementCount) {
      card.picture = null;
      return host.replaceChildren();
    }
    host.replaceChildren(make("p", { class: "hint" }, say("preparing")));
    const answer = await obtain("look", { request: request(card) });
    if (answer.error) return host.replaceChildren(make("p", { class: "error", role: "alert" }, answer.error[window.pageLanguage]));
    host.replaceChildren();
    card.picture = drawLook(host, answer, words);
  },
};

// A card's text is another one now: it is read again, and falls into several cards if it holds several sentences.
async function rewritten(card, value) {
  const answer = await ask("read", { text: value, controls: { ...settings(), opens: request(card).opens } });
  if (answer.error) return fail(answer.error), false;
  const [first, ...rest] = answer.cards;
  Object.assign(card, { text: first.text, chars: first.chars, changes: first.changes });
  card.view.read();
  const last = card.ends;
  const added = rest.map((found) => newCard({ ...found, place: card.place + found.place, options: card.options }));
  if (added.length) {
    card.ends = first.ends;
    added.at(-1).ends = last;
    cards.splice(cards.indexOf(card) + 1, 0, ...added);
  }
  changed();
  return true;
}

// --- around the cards ------------------------------------------------------------------------------------------------

function rerollAll() {
  keep();
  for (const card of cards) if (!card.locked) card.options = { ...card.options, seed: Math.floor(Math.random() * 2 ** 32) };
  changed();
  halt();
  player.open(rate());
  clear();
  play(cards, true);
}

// Speaks what is there, without looking at the text field again.
function playAll() {
  halt();
  player.open(rate());
  clear();
  play(cards, true);
}

part("undo").addEventListener("click", undo);
part("reroll").addEventListener("click", rerollAll);
part("play").addEventListener("click", playAll);
part("download").addEventListener("click", download);
audio.addEventListener("play", () => player.context && halt());
part("format").addEventListener("change", () => (part("download").textContent = say("download", { format: part("format").value })));

document.addEventListener("keydown", (event) => {
  const typing = event.target.closest?.("input, textarea, select");
  const command = event.ctrlKey || event.metaKey;
  if (event.key === "Enter" && command) {
    event.preventDefault();
    document.querySelector("#speak").click();
  } else if (event.key === "Escape" && playing) {
    studio.stop();
  } else if (event.key.toLowerCase() === "z" && command && !event.shiftKey && !typing) {
    event.preventDefault();
    undo();
  }
});

// Opens what anybody may have made; the server looks at it first.
async function open(wanted, quiet = false) {
  const answer = await ask("open", { project: wanted });
  if (answer.error) return quiet ? answer : (fail(answer.error), answer);
  halt();
  if (cards.length) keep();
  await studio.set(answer.project.controls);
  cards = answer.cards.map(newCard);
  showText(answer.text);
  changed();
  return answer;
}

const studio = {
  request: () => ({ ...settings(), sample: window.sample?.id || "" }),
  project,
  open,

  // Values of the page's controls, in their order; text is the first.
  controls(values) {
    const chosen = {};
    props.options.forEach(([name, fallback], i) => (chosen[name] = values[i] ?? fallback));
    ({ text, ...controls } = chosen);
    if (listener && controls.voice && !voices[controls.voice]) studio.voices(); // it has come since
    show();
    clearTimeout(saving);
    saving = setTimeout(store, 300);
  },

  speak(values) {
    studio.controls(values);
    speak();
  },

  stop() {
    if (!playing) return;
    halt();
    status(say("stopped"));
  },

  // Sets controls by name; done when they are set.
  set(values) {
    studio.wanted = JSON.stringify({ ...values });
    const done = new Promise((resolve) => (settled = resolve));
    document.querySelector("#apply").click();
    return done;
  },

  applied(values) {
    studio.controls(values);
    settled?.();
  },

  // What was typed and not spoken yet belongs to the project, too.
  async settle() {
    if (!text.trim() || text === typed()) return;
    const answer = await ask("read", { text, controls: settings() });
    if (answer.error) fail(answer.error);
    else merge(answer.cards);
  },

  async load(content, values) {
    halt();
    keep();
    await studio.set(values);
    cards = [];
    showText(content);
    show();
  },

  arrive,

  async voices() {
    voices = await ask("voices", null);
    cards.forEach((card) => card.view.panel.hidden || card.view.fill());
  },
};
window.studio = studio;

// The page has been opened: who is listening, and what was there before a reload.
async function arrive() {
  if (listener || !window.listener) return;
  listener = window.listener;
  await studio.voices();
  let stored = null;
  try {
    stored = JSON.parse(localStorage.getItem(STORED));
  } catch {}
  if (stored?.project && !cards.length) {
    const answer = await open(stored.project, true);
    if (!answer.error) {
      undone = [];
      showText(stored.text || answer.text);
      status(say("restored"));
    }
  }
  show();
  element.dataset.ready = "true";
}

arrive();
