// A sample of sound for the emotion. Runs as js_on_load of page/sample.py's part: `element`, `props` and `server` are
// Gradio's. The browser decodes, mixes and cuts, so that the server needs no ffmpeg; what it cannot decode goes up as it
// is. `window.sample.id` is "" or the sample in use; the event sample:changed on the document tells of another one.

const { words, limits } = props;
const language = window.pageLanguage ?? (navigator.language.startsWith("zh") ? 0 : 1);
const say = (key, values) => words[key][language].replace(/\{(\w+)\}/g, (_, name) => values[name]);
const rounded = (seconds) => seconds.toFixed(1);

function make(tag, properties = {}, ...children) {
  const { aria, ...rest } = properties;
  const node = Object.assign(document.createElement(tag), rest);
  if (aria) node.setAttribute("aria-label", aria);
  node.append(...children);
  return node;
}

const input = make("input", { type: "file", accept: "audio/*,video/mp4,video/webm,.flac,.ogg,.opus,.wav", hidden: true });
const choose = make("button", { type: "button", className: "sample-button", textContent: say("choose") });
const record = make("button", { type: "button", className: "sample-button sample-record", textContent: say("record") });
const empty = make(
  "div",
  { className: "sample-row" },
  choose,
  record,
  make("span", { className: "sample-hint sample-drop", textContent: say("drop") }),
);

const stop = make("button", { type: "button", className: "sample-button", textContent: say("stop") });
const level = make("meter", { min: 0, max: 1, value: 0, aria: say("level") });
const clock = make("span", { className: "sample-hint" });
const recording = make("div", { className: "sample-row", hidden: true }, stop, level, clock);

const play = make("button", { type: "button", className: "sample-button sample-play" });
const name = make("span", { className: "sample-name" });
const remove = make("button", { type: "button", className: "sample-button", textContent: say("remove") });
const kept = make("div", { className: "sample-row sample-kept", hidden: true }, play, name, remove);

const state = make("p", { className: "sample-hint", role: "status" });
const fault = make("p", { className: "sample-error", role: "alert" });
const help = make("p", { className: "sample-hint", textContent: say("help") });
const box = element.querySelector(".sample");
box.append(
  make("span", { className: "sample-label", textContent: say("label") }),
  help,
  input,
  empty,
  recording,
  kept,
  state,
  fault,
);
box.setAttribute("role", "group");
box.setAttribute("aria-label", say("label"));

const sample = { id: "", name: "" };
const sound = new Audio();
const nameless = String(Math.random()); // till the page has told who listens; nobody shares the room of another
let turn = 0; // of what was chosen last: an earlier, slower one must not take its place

function show(part) {
  for (const each of [empty, recording, kept]) each.hidden = each !== part;
  help.hidden = part === kept;
}

function tell(sentence, problem = "") {
  state.textContent = sentence;
  fault.textContent = problem;
}

function use(id, wav, called, seconds) {
  halt();
  URL.revokeObjectURL(sound.src);
  if (wav) sound.src = URL.createObjectURL(wav);
  else sound.removeAttribute("src");
  play.hidden = !wav;
  Object.assign(sample, { id, name: called });
  sessionStorage.sample = JSON.stringify(sample); // a reload keeps it, too
  name.textContent = id ? `${called} · ${say("seconds", { seconds: rounded(seconds) })}` : "";
  name.title = called;
  show(id ? kept : empty);
  document.dispatchEvent(new CustomEvent("sample:changed", { detail: { id } }));
}

// --- sound -> wav ---------------------------------------------------------------------------------------------------

async function decoded(file) {
  const context = new OfflineAudioContext(1, 1, limits.rate); // its rate is what the sound is brought to
  const buffer = await context.decodeAudioData(await file.arrayBuffer());
  const mono = new Float32Array(Math.min(buffer.length, limits.seconds * limits.rate));
  for (let channel = 0; channel < buffer.numberOfChannels; channel++) {
    const values = buffer.getChannelData(channel);
    for (let i = 0; i < mono.length; i++) mono[i] += values[i] / buffer.numberOfChannels;
  }
  return { mono, cut: buffer.length > mono.length };
}

function wavOf(mono) {
  const view = new DataView(new ArrayBuffer(44 + 2 * mono.length));
  const tag = (at, text) => [...text].forEach((c, i) => view.setUint8(at + i, c.charCodeAt(0)));
  tag(0, "RIFF");
  view.setUint32(4, 36 + 2 * mono.length, true);
  tag(8, "WAVEfmt ");
  view.setUint32(16, 16, true);
  view.setUint16(20, 1, true); // PCM
  view.setUint16(22, 1, true); // mono
  view.setUint32(24, limits.rate, true);
  view.setUint32(28, 2 * limits.rate, true);
  view.setUint16(32, 2, true);
  view.setUint16(34, 16, true);
  tag(36, "data");
  view.setUint32(40, 2 * mono.length, true);
  mono.forEach((x, i) => view.setInt16(44 + 2 * i, Math.round(Math.max(-1, Math.min(1, x)) * 32767), true));
  return new Blob([view], { type: "audio/wav" });
}

const base64 = (blob) =>
  new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(reader.result.slice(reader.result.indexOf(",") + 1));
    reader.onerror = () => reject(reader.error);
    reader.readAsDataURL(blob);
  });

const fromBase64 = (text) => new Blob([Uint8Array.from(atob(text), (c) => c.charCodeAt(0))], { type: "audio/wav" });

// --- what the listener brings -----------------------------------------------------------------------------------------

function problemOf(mono) {
  if (mono.length < limits.shortest * limits.rate) return say("short");
  return mono.every((x) => Math.abs(x) < limits.quietest) ? say("silent") : "";
}

async function take(file, called) {
  const mine = ++turn;
  if (!file.size) return tell("", say("empty"));
  if (file.size > limits.largest) {
    return tell("", say("large", { size: (file.size / 2 ** 20).toFixed(1), most: limits.largest >> 20 }));
  }
  tell(say("reading"));
  const { mono, cut } = await decoded(file).catch(() => ({}));
  const problem = mono ? problemOf(mono) : "";
  let wav = mono && wavOf(mono);
  const got = problem ? {} : await ask("take_sample", {
        data: await base64(wav ?? file).catch(() => ""),
        listener: window.listener ?? nameless,
      });
  if (!wav && got.id) wav = await fetched(got.id);
  if (mine !== turn) return;
  if (problem || got.error) return tell("", problem || got.error[language]);
  const here = box.contains(document.activeElement); // and not at another part of the page by now
  use(got.id, wav, called, got.seconds);
  tell(say("added") + (cut ? ` ${say("cut", limits)}` : ""));
  if (here) play.focus({ preventScroll: true }); // the button that was pressed has gone
}

async function ask(what, data) {
  const got = await server[what](data).catch(() => null); // no answer: the connection is lost
  return got ?? { error: words.connection };
}

async function fetched(id) {
  const { wav } = await ask("kept_sample", id);
  return wav ? fromBase64(wav) : null;
}

// --- the microphone ---------------------------------------------------------------------------------------------------

let recorder = null;

async function listen() {
  tell("");
  if (!navigator.mediaDevices?.getUserMedia || !window.MediaRecorder) return tell("", say("insecure"));
  record.disabled = true;
  try {
    begin(await navigator.mediaDevices.getUserMedia({ audio: true }));
  } catch (error) {
    const why = { NotAllowedError: "refused", NotFoundError: "no microphone", OverconstrainedError: "no microphone" };
    tell("", say(why[error.name] ?? "busy"));
  } finally {
    record.disabled = false;
  }
}

function begin(stream) {
  const began = performance.now();
  const pieces = [];
  const context = new AudioContext();
  const meter = new AnalyserNode(context, { fftSize: 2048 });
  context.createMediaStreamSource(stream).connect(meter);
  const heard = new Float32Array(meter.fftSize);
  const tick = setInterval(() => {
    const seconds = (performance.now() - began) / 1000;
    meter.getFloatTimeDomainData(heard);
    level.value = Math.min(1, 2 * heard.reduce((most, x) => Math.max(most, Math.abs(x)), 0));
    clock.textContent = say("recording", { seconds: Math.floor(seconds), most: limits.seconds });
    if (seconds >= limits.seconds) end();
  }, 100);
  recorder = new MediaRecorder(stream);
  recorder.ondataavailable = (event) => pieces.push(event.data);
  recorder.onstop = () => {
    clearInterval(tick);
    context.close();
    for (const track of stream.getTracks()) track.stop(); // the browser's sign that it listens goes out
    show(sample.id ? kept : empty);
    take(new Blob(pieces, { type: recorder.mimeType }), say("recorded"));
  };
  recorder.start();
  show(recording);
  stop.focus({ preventScroll: true });
}

const end = () => recorder?.state === "recording" && recorder.stop();

// --- buttons ----------------------------------------------------------------------------------------------------------

function halt() {
  sound.pause();
  sound.currentTime = 0;
  showPlay();
}

function showPlay() {
  const playing = !sound.paused && !sound.ended;
  play.textContent = playing ? "■" : "▶";
  play.setAttribute("aria-label", playing ? say("pause") : say("play"));
}

play.onclick = () => (sound.paused ? sound.play().catch(showPlay) : halt());
for (const event of ["play", "pause", "ended"]) sound.addEventListener(event, showPlay);
showPlay();

function clear() {
  turn += 1;
  end();
  use("", null, "", 0);
  tell("");
}

choose.onclick = () => input.click();
record.onclick = listen;
stop.onclick = end;
remove.onclick = () => {
  clear();
  tell(say("removed"));
  choose.focus({ preventScroll: true });
};
input.onchange = () => {
  const [file] = input.files;
  input.value = ""; // the same file may be chosen again
  if (file) take(file, file.name);
};

box.addEventListener("dragover", (event) => {
  if (!event.dataTransfer.types.includes("Files")) return;
  event.preventDefault();
  event.stopPropagation();
  box.classList.add("over");
});
box.addEventListener("dragleave", (event) => {
  if (!box.contains(event.relatedTarget)) box.classList.remove("over");
});
box.addEventListener("drop", (event) => {
  box.classList.remove("over");
  const [file] = event.dataTransfer.files;
  if (!file) return;
  event.preventDefault();
  event.stopPropagation(); // the page may take dropped files, too
  take(file, file.name);
});

// A sample that was in use before, by its id; one that the server has no more is said and left out.
async function open(id, called = say("kept")) {
  if (!id) return clear();
  const mine = ++turn;
  const got = await ask("kept_sample", id);
  if (mine !== turn) return;
  if (got.error) {
    clear();
    return tell("", got.error[language]);
  }
  const wav = fromBase64(got.wav);
  const { mono } = await decoded(wav);
  if (mine !== turn) return;
  use(id, wav, called, mono.length / limits.rate);
  tell("");
}

window.sample = {
  get id() {
    return sample.id;
  },
  get name() {
    return sample.name;
  },
  open,
  clear,
};

const before = JSON.parse(sessionStorage.sample ?? "{}");
if (before.id) open(before.id, before.name);
