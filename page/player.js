// Plays a speech while it is being made. Runs as js_on_load of the page's player: `element`, `props`, `server` and
// `watch` are Gradio's. The player asks the server for pieces itself, because a component's value may skip steps, and
// puts them end to end on the audio clock: no codec, no gap, no file.

const LEAD = 0.08; // seconds between a piece's arrival and its sound, at the start and after a pause in the making
const time = element.querySelector(".player-time");
let context = null; // one AudioContext for each speech
let current = null; // id of the speech being followed
let end = 0; // where the scheduled sound ends, on the context's clock
let made = 0; // seconds scheduled

function stop() {
  context?.close();
  context = current = null;
  show("idle");
}

function show(state) {
  element.querySelector(".player").dataset.state = state;
  const played = context ? Math.max(0, made - Math.max(0, end - context.currentTime)) : 0;
  time.textContent = state === "playing" ? `${clock(played)} / ${clock(made)}` : "";
}

const clock = (seconds) => `${Math.floor(seconds / 60)}:${String(Math.floor(seconds % 60)).padStart(2, "0")}`;

function samples(base64) {
  const bytes = Uint8Array.from(atob(base64), (c) => c.charCodeAt(0));
  return Float32Array.from(new Int16Array(bytes.buffer), (x) => x / 32768);
}

function play(wave, rate) {
  const buffer = context.createBuffer(1, wave.length, rate);
  buffer.copyToChannel(wave, 0);
  const source = new AudioBufferSourceNode(context, { buffer });
  source.connect(context.destination);
  if (end < context.currentTime) end = context.currentTime + LEAD;
  source.start(end);
  end += buffer.duration;
  made += buffer.duration;
}

async function follow(id) {
  if (!context) context = new AudioContext({ sampleRate: props.value.rate });
  [current, end, made] = [id, 0, 0];
  for (let next = 0, failures = 0; current === id && failures < 20; ) {
    const got = await server.pieces([id, next]);
    if (current !== id) return;
    if (!got) {
      failures += 1; // a lost connection: ask again, nothing is skipped
      await new Promise((resume) => setTimeout(resume, 500));
      continue;
    }
    if (got.pcm) play(samples(got.pcm), got.rate);
    if (got.done) break;
    [next, failures] = [got.next, 0];
  }
}

setInterval(() => {
  if (context) show(context.currentTime < end ? "playing" : "idle");
}, 200);

// Browsers let a page sound only from a user's gesture, so the context is opened in the click itself.
document.addEventListener(
  "click",
  (event) => {
    const within = (selector) => event.target.closest?.(selector);
    if (within("#speak")) {
      stop();
      context = new AudioContext({ sampleRate: props.value.rate });
    } else if (within("#stop") || within("#whole")) {
      stop();
    }
  },
  true,
);

document.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
    event.preventDefault();
    document.querySelector("#speak").click();
  }
});

watch("value", () => {
  if (props.value.run && props.value.run !== current) follow(props.value.run);
});
