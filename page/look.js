// How a speech looks: waveform, mel spectrogram with pitch, phones and characters, all on one time axis; and how long
// each stage of its making took. Plain functions without side effects; `data` is Picture.as_dict() of
// infer/documents/picture.py, `words` are the section "picture" of words/.

const lookSay = (words, key, values) =>
  words[key][window.pageLanguage ?? 1].replace(/\{(\w+)\}/g, (_, name) => values[name]);

function lookNode(tag, className, text = "") {
  const node = document.createElement(tag);
  node.className = className;
  node.textContent = text;
  return node;
}

// Draws into `host` and returns {playhead(seconds), onseek, remove()}: set onseek to hear of clicks, in seconds.
// playhead(null) hides the line. Only what is in sight is drawn, so the width of an enlarged speech costs nothing.
function drawLook(host, data, words) {
  const HEIGHTS = { wave: 86, mel: 190, sounds: 62 }; // the wave's canvas begins with the ruler
  const RULER = 22;
  const PHONES = 26;
  const LEAST = 60; // pixels of the shortest character when fully enlarged
  const READABLE = 40; // pixels of a usual character, to begin with; the whole where it is larger still
  const FINEST = 3000; // pixels a second, at most

  host.look?.remove();
  const say = (key, values) => lookSay(words, key, values);
  const bytes = (base64) => Uint8Array.from(atob(base64), (c) => c.charCodeAt(0));
  const envelope = new Int8Array(bytes(data.envelope).buffer);
  const mel = bytes(data.mel);
  const peak = Math.max(12, envelope.reduce((most, x) => Math.max(most, Math.abs(x)), 0));
  const voiced = data.pitch.filter(Boolean).sort((a, b) => a - b);
  const part = (share) => voiced[Math.round(share * (voiced.length - 1))];
  const [lowest, highest] = [part(0.02), part(0.98)]; // what lies outside is a slip of the estimate, or rare
  const summary = say(voiced.length ? "look.summary" : "look.unvoiced", {
    seconds: data.duration.toFixed(1),
    lowest: Math.round(lowest),
    highest: Math.round(highest),
  });

  // Layout
  const root = lookNode("div", "look");
  const bar = root.appendChild(lookNode("div", "look-bar"));
  const readout = bar.appendChild(lookNode("span", "look-readout", summary));
  if (voiced.length) bar.appendChild(lookNode("span", "look-legend", say("look.pitch")));
  const zoomLabel = bar.appendChild(lookNode("label", "look-zoom", say("look.zoom")));
  const zoom = zoomLabel.appendChild(lookNode("input", ""));
  Object.assign(zoom, { type: "range", min: 0, max: 100, value: 0 });
  const frame = root.appendChild(lookNode("div", "look-frame"));
  const axis = frame.appendChild(lookNode("div", "look-axis"));
  const scroll = frame.appendChild(lookNode("div", "look-scroll"));
  scroll.tabIndex = 0;
  scroll.setAttribute("role", "group");
  scroll.setAttribute("aria-label", say("look.axis"));
  const wide = scroll.appendChild(lookNode("div", "look-wide"));
  const view = wide.appendChild(lookNode("div", "look-view"));
  const text = data.characters.map(([character]) => character).join("");
  const names = { wave: summary, mel: summary, sounds: text };
  const canvases = Object.keys(HEIGHTS).map((key) => {
    const canvas = view.appendChild(lookNode("canvas", `look-${key}`));
    canvas.style.height = `${HEIGHTS[key]}px`;
    canvas.setAttribute("role", "img");
    canvas.setAttribute("aria-label", say(`look.${key}`, { content: names[key] }));
    return canvas;
  });
  const pointer = view.appendChild(lookNode("div", "look-pointer"));
  const playhead = view.appendChild(lookNode("div", "look-playhead"));
  pointer.hidden = playhead.hidden = true;
  const pitchAxis = frame.appendChild(lookNode("div", "look-axis look-axis-pitch"));
  host.replaceChildren(root);

  // Places
  const sound = ([label, tone, start, end]) => ({ label: label === "_" ? "" : label, tone, start, end, digit: "" });
  const characters = data.characters.map(sound);
  const syllables = inSyllables(data.phones.map(sound));
  const lengths = characters.filter((c) => c.tone).map((c) => c.end - c.start).sort((a, b) => a - b);
  let width = 0; // pixels in sight
  let scale = 0; // pixels a second
  const whole = () => width / data.duration;
  const closest = () => Math.max(whole(), Math.min(FINEST, LEAST / Math.max(lengths[0] ?? 0.1, 0.01)));
  const place = (seconds) => seconds * scale - scroll.scrollLeft;
  const moment = (x) => Math.min(data.duration, Math.max(0, (x + scroll.scrollLeft) / scale));
  const columnAt = (seconds) => (seconds / data.duration) * data.columns;
  const momentOf = (column) => (column / data.columns) * data.duration;
  const range = pitchRange();
  const pitchHeight = (hertz) => HEIGHTS.mel * (1 - Math.log(hertz / range[0]) / Math.log(range[1] / range[0]));

  // A character's phones side by side; its tone stands at the last of them.
  function inSyllables(phones) {
    const ends = new Set(characters.map((c) => c.end));
    const found = [[]];
    for (const phone of phones) {
      found.at(-1).push(phone);
      if (phone.label && !ends.has(phone.end)) continue;
      if (phone.tone) phone.digit = String(phone.tone);
      found.push([]);
    }
    return found.filter((syllable) => syllable.length);
  }

  function pitchRange() {
    if (!voiced.length) return [75, 300];
    const spread = Math.max(Math.sqrt(highest / lowest) * 1.25, 1.6); // at least an octave and a third
    const middle = Math.sqrt(lowest * highest);
    return [middle / spread, middle * spread];
  }

  function bandHeight(hertz) {
    const above = data.centres.findIndex((centre) => centre >= hertz);
    if (above < 1) return above ? 0 : HEIGHTS.mel;
    const [from, to] = [data.centres[above - 1], data.centres[above]];
    return HEIGHTS.mel * (1 - (above - 1 + (hertz - from) / (to - from) + 0.5) / data.bands);
  }

  function tick(parent, y, label) {
    const node = parent.appendChild(lookNode("span", "", label));
    node.style.top = `${HEIGHTS.wave + y}px`;
  }

  for (const [hertz, label] of [[500, "500"], [1000, "1k"], [2000, "2k"], [4000, "4k"], [8000, "8k"]]) {
    if (hertz < data.centres.at(-1)) tick(axis, bandHeight(hertz), label);
  }
  let last = Infinity;
  for (const hertz of voiced.length ? [50, 60, 80, 100, 130, 170, 200, 250, 300, 400, 500, 600] : []) {
    const y = pitchHeight(hertz);
    if (y < 6 || y > HEIGHTS.mel - 6 || last - y < 26) continue;
    tick(pitchAxis, y, String(hertz));
    last = y;
  }
  for (const side of voiced.length ? [axis, pitchAxis] : [axis]) tick(side, -9, "Hz");

  // Colours, which follow the page's theme
  const probe = root.appendChild(lookNode("i", "look-probe"));
  let colours = {};
  let picture = null; // the spectrogram, a pixel for each column and band

  function readColours() {
    const read = (name) => {
      probe.style.color = `var(--${name})`;
      return getComputedStyle(probe).color;
    };
    const wanted = ["look-0", "look-1", "look-2", "look-3", "look-wave", "look-pitch", "look-line", "look-halo"];
    wanted.push("body-text-color", "body-text-color-subdued", ...[1, 2, 3, 4, 5].map((tone) => `tone-${tone}`));
    colours = Object.fromEntries(wanted.map((name) => [name, read(name)]));
    colours["tone-0"] = colours["body-text-color-subdued"];
    colours.family = getComputedStyle(root).fontFamily;
    picture = paintPicture();
  }

  function paintPicture() {
    const ramp = new OffscreenCanvas(256, 1).getContext("2d");
    const gradient = ramp.createLinearGradient(0, 0, 256, 0);
    [0.08, 0.45, 0.8, 1].forEach((stop, i) => gradient.addColorStop(stop, colours[`look-${i}`]));
    ramp.fillStyle = gradient;
    ramp.fillRect(0, 0, 256, 1);
    const shades = new Uint32Array(ramp.getImageData(0, 0, 256, 1).data.buffer);
    const canvas = new OffscreenCanvas(data.columns, data.bands);
    const image = new ImageData(data.columns, data.bands);
    const pixels = new Uint32Array(image.data.buffer);
    for (let band = 0; band < data.bands; band += 1) {
      const row = (data.bands - 1 - band) * data.columns; // low bands at the bottom
      for (let i = 0; i < data.columns; i += 1) pixels[row + i] = shades[mel[band * data.columns + i]];
    }
    canvas.getContext("2d").putImageData(image, 0, 0);
    return canvas;
  }

  // Drawing
  function fresh(canvas, height) {
    const ratio = window.devicePixelRatio || 1;
    [canvas.width, canvas.height] = [Math.round(width * ratio), Math.round(height * ratio)];
    const pen = canvas.getContext("2d");
    pen.scale(ratio, ratio);
    pen.font = `12px ${colours.family}`;
    pen.textBaseline = "middle";
    return pen;
  }

  function upright(pen, x, from, to) {
    pen.fillRect(Math.round(x), from, 1, to - from);
  }

  function drawBounds(pen, from, to) {
    const [begin, end] = [moment(0), moment(width)];
    pen.fillStyle = colours["look-line"];
    for (const c of characters) {
      if (c.tone && c.end > begin && c.start < end && (c.end - c.start) * scale > 14) {
        [c.start, c.end].forEach((edge) => upright(pen, place(edge), from, to));
      }
    }
  }

  function drawRuler(pen) {
    const steps = [0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600];
    const step = steps.find((seconds) => seconds * scale >= 56) ?? 1200;
    pen.textAlign = "center";
    for (let i = Math.ceil(moment(0) / step); i * step <= moment(width); i += 1) {
      const x = place(i * step);
      pen.fillStyle = colours["look-line"];
      upright(pen, x, RULER - 5, RULER);
      pen.fillStyle = colours["body-text-color-subdued"];
      const label = rulerLabel(i * step, step);
      const half = pen.measureText(label).width / 2;
      pen.fillText(label, Math.min(width - half - 1, Math.max(half + 1, x)), 9);
    }
    pen.fillStyle = colours["look-line"];
    pen.fillRect(0, RULER, width, 1);
  }

  function rulerLabel(seconds, step) {
    const digits = step < 0.1 ? 2 : step < 1 ? 1 : 0;
    if (data.duration < 60) return `${seconds.toFixed(digits)} s`;
    const minutes = Math.floor(seconds / 60 + 1e-6);
    return `${minutes}:${(seconds - 60 * minutes).toFixed(digits).padStart(digits ? digits + 3 : 2, "0")}`;
  }

  function drawWave(canvas) {
    const pen = fresh(canvas, HEIGHTS.wave);
    drawBounds(pen, RULER, HEIGHTS.wave);
    drawRuler(pen);
    const middle = (RULER + HEIGHTS.wave) / 2;
    const height = (value) => middle - (value / peak) * ((HEIGHTS.wave - RULER) / 2 - 5);
    const from = Math.max(0, Math.floor(columnAt(moment(0))) - 1);
    const to = Math.min(data.columns, Math.ceil(columnAt(moment(width))) + 1);
    const x = (column) => place(momentOf(column + 0.5));
    pen.fillStyle = colours["look-wave"];
    pen.fillRect(0, middle - 0.5, width, 1);
    pen.beginPath();
    for (let i = from; i < to; i += 1) pen.lineTo(x(i), height(envelope[2 * i + 1]) - 0.5);
    for (let i = to - 1; i >= from; i -= 1) pen.lineTo(x(i), height(envelope[2 * i]) + 0.5);
    pen.fill();
  }

  function drawMel(canvas) {
    const pen = fresh(canvas, HEIGHTS.mel);
    const from = columnAt(moment(0));
    const seen = columnAt(moment(width)) - from;
    pen.imageSmoothingQuality = "high";
    pen.drawImage(picture, from, 0, seen, data.bands, 0, 0, (seen / data.columns) * data.duration * scale, HEIGHTS.mel);
    drawBounds(pen, 0, HEIGHTS.mel);
    pen.beginPath();
    let before = 0; // Hz; the line breaks where there is no pitch, and where no voice could go in so short a time
    for (let i = Math.max(0, Math.floor(from) - 1); i < Math.min(data.columns, from + seen + 2); i += 1) {
      const hertz = data.pitch[i];
      const near = before && hertz && Math.abs(Math.log2(hertz / before)) < 0.4;
      if (hertz) pen[near ? "lineTo" : "moveTo"](place(momentOf(i + 0.5)), pitchHeight(hertz));
      before = hertz;
    }
    pen.lineJoin = pen.lineCap = "round";
    for (const [colour, breadth] of [["look-halo", 5], ["look-pitch", 2]]) {
      [pen.strokeStyle, pen.lineWidth] = [colours[colour], breadth];
      pen.stroke();
    }
  }

  // Intervals side by side, each with its label if there is room for it.
  function drawTier(pen, sounds, { top, height, size }) {
    for (const { label, digit, tone, start, end } of sounds) {
      if (place(end) < 0 || place(start) > width) continue;
      pen.fillStyle = colours["look-line"];
      if ((end - start) * scale > 6) [start, end].forEach((edge) => upright(pen, place(edge), top, top + height));
      const room = (end - start) * scale - 6 * digit.length - 1;
      const fitting = [size, size * 0.85].find((pixels) => measure(pen, label, pixels) <= room);
      if (!fitting) continue;
      const letters = measure(pen, label, fitting);
      const x = place((start + end) / 2) - (letters + 6 * digit.length) / 2;
      pen.fillStyle = colours[`tone-${tone}`];
      pen.fillText(label, x, top + height / 2 + 1);
      measure(pen, digit, 9);
      pen.fillText(digit, x + letters + 1, top + height / 2 - 4);
    }
    pen.fillStyle = colours["look-line"];
    pen.fillRect(0, top + height, width, 1);
  }

  function measure(pen, label, size) {
    pen.font = `${size}px ${colours.family}`;
    return pen.measureText(label).width;
  }

  // The phones of a syllable apart where each has room, else together: never one without the other.
  function roomy(pen, syllable) {
    const fits = (p) => measure(pen, p.label, 12) + 6 * p.digit.length <= (p.end - p.start) * scale - 2;
    if (syllable.every(fits)) return syllable;
    const [first, final] = [syllable[0], syllable.at(-1)];
    return [{ ...final, label: syllable.map((p) => p.label).join(""), start: first.start }];
  }

  // Characters that would touch are thinned out, the same ones wherever the view is scrolled to.
  function thinned(pen) {
    let taken = -Infinity;
    return characters.filter((c) => {
      const [middle, half] = [((c.start + c.end) / 2) * scale, measure(pen, c.label, 18) / 2];
      if (middle - half < taken) return false;
      taken = middle + half + 1;
      return true;
    });
  }

  function drawSounds(canvas) {
    const pen = fresh(canvas, HEIGHTS.sounds);
    pen.textAlign = "left";
    const [from, to] = [moment(0), moment(width)];
    const seen = syllables.filter((s) => s.at(-1).end >= from && s[0].start <= to);
    drawTier(pen, seen.flatMap((s) => roomy(pen, s)), { top: 0, height: PHONES, size: 12 });
    drawTier(pen, thinned(pen), { top: PHONES, height: HEIGHTS.sounds - PHONES - 1, size: 18 });
  }

  function draw() {
    if (!width) return;
    drawWave(canvases[0]);
    drawMel(canvases[1]);
    drawSounds(canvases[2]);
    showPlayhead();
  }

  let asked = 0;
  const redraw = () => {
    cancelAnimationFrame(asked);
    asked = requestAnimationFrame(draw);
  };

  // Size and zoom
  function enlarge(x = width / 2) {
    const seconds = scale ? moment(x) : 0; // stays where it is
    scale = whole() * (closest() / whole()) ** (zoom.value / 100);
    wide.style.width = `${Math.round(data.duration * scale)}px`;
    scroll.scrollLeft = seconds * scale - x;
    redraw();
  }

  function resize() {
    const first = !width;
    width = scroll.clientWidth;
    if (!width) return;
    view.style.width = `${width}px`;
    zoomLabel.hidden = closest() < 1.1 * whole();
    const usual = READABLE / (lengths[lengths.length >> 1] ?? 0.2);
    if (first && usual > whole()) {
      zoom.value = Math.ceil((100 * Math.log(usual / whole())) / Math.log(closest() / whole()));
    }
    enlarge(0);
  }

  function wheel(event) {
    if (!event.ctrlKey) return;
    event.preventDefault();
    zoom.value = Number(zoom.value) - Math.sign(event.deltaY) * 6;
    enlarge(event.clientX - scroll.getBoundingClientRect().left);
  }

  // Pointing and playing
  function point(event) {
    const x = event.clientX - view.getBoundingClientRect().left;
    const seconds = moment(x);
    pointer.hidden = false;
    pointer.style.left = `${x}px`;
    const hertz = data.pitch[Math.min(data.columns - 1, Math.floor(columnAt(seconds)))];
    const character = characters.find((c) => c.start <= seconds && seconds < c.end)?.label;
    const pitch = hertz && say("look.hertz", { hertz: Math.round(hertz) });
    const parts = [say("look.seconds", { seconds: seconds.toFixed(2) }), character, pitch];
    readout.textContent = parts.filter(Boolean).join(" · ");
  }

  function leave() {
    pointer.hidden = true;
    readout.textContent = summary;
  }

  function showPlayhead() {
    playhead.hidden = at === null || at > data.duration || place(at) < 0 || place(at) > width;
    if (!playhead.hidden) playhead.style.left = `${place(at)}px`;
  }

  let at = null; // seconds
  const drawn = {
    onseek: null,
    playhead(seconds) {
      at = seconds;
      const moving = seconds !== null && seconds < data.duration && (place(seconds) < 0 || place(seconds) > width - 8);
      if (moving && width) scroll.scrollLeft = seconds * scale - width / 8; // turn the page
      showPlayhead();
    },
    remove() {
      sized.disconnect();
      themed.disconnect();
      root.remove();
    },
  };
  host.look = drawn;

  readColours();
  zoom.addEventListener("input", () => enlarge());
  scroll.addEventListener("scroll", redraw);
  scroll.addEventListener("wheel", wheel, { passive: false });
  view.addEventListener("pointermove", point);
  view.addEventListener("pointerleave", leave);
  view.addEventListener("click", (event) => drawn.onseek?.(moment(event.clientX - view.getBoundingClientRect().left)));
  const sized = new ResizeObserver(resize);
  sized.observe(scroll);
  const themed = new MutationObserver(() => {
    readColours();
    redraw();
  });
  for (const node of [document.documentElement, document.body]) {
    themed.observe(node, { attributes: true, attributeFilter: ["class"] });
  }
  return drawn;
}

// One thin bar of what each stage took, its legend, and the whole in words. stages: {name: seconds} in the order of
// their work; seconds: of the sound that was made.
function drawStages(host, stages, seconds, words) {
  const say = (key, values) => lookSay(words, key, values);
  const took = Object.entries(stages).filter(([, time]) => time >= 0.0005);
  const total = took.reduce((sum, [, time]) => sum + time, 0);
  const rounded = (number) => (number >= 10 ? number.toFixed(0) : number.toFixed(number >= 1 ? 1 : 2));
  const told = say("stages", {
    sound: rounded(seconds),
    work: rounded(total),
    factor: rounded(seconds / total),
    rtf: (total / seconds).toFixed(2),
  });
  const root = lookNode("div", "look-stages");
  root.appendChild(lookNode("p", "", told));
  const bar = root.appendChild(lookNode("div", "look-stages-bar"));
  const list = root.appendChild(lookNode("ul", ""));
  bar.setAttribute("aria-hidden", "true"); // the list tells the same
  for (const [name, time] of took) {
    const piece = bar.appendChild(lookNode("span", `look-stage-${name}`));
    piece.style.flexGrow = time / total;
    const item = list.appendChild(lookNode("li", ""));
    item.appendChild(lookNode("i", `look-stage-${name}`));
    item.append(say(`stage.${name}`), " ");
    item.appendChild(lookNode("b", "", say("stage.ms", { time: (1000 * time).toFixed(time < 0.01 ? 1 : 0) })));
  }
  host.replaceChildren(root);
}
