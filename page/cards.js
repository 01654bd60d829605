// How a sentence's card looks and what can be clicked on it. What a click does is editor.js's: `act`.

const ICONS = {
  play: "M7 4.5v15l12-7.5z",
  stop: "M6 6h12v12H6z",
  reroll: "M17.7 6.3A8 8 0 1 0 20 12h-2.2A5.8 5.8 0 1 1 12 6.2c1.6 0 3 .6 4.1 1.7L13 11h7V4z",
  edit: "M4 16.5V20h3.5L18 9.500 14.500 6zM20.300 7.200a1 1 0 0 0 0-1.400l-2.100-2.100a1 1 0 0 0-1.400 0L15.200 5.300l3.500 3.500z",
  lock: "M17 9V7A5 5 0 0 0 7 7v2H5v12h14V9zm-8 0V7a3 3 0 0 1 6 0v2z",
  unlock: "M17 9H9V7a3 3 0 0 1 5.800-1h2.100A5 5 0 0 0 7 7v2H5v12h14V9z",
  up: "M12 6l-7 7 1.500 1.500L11 10v9h2v-9l4.500 4.500L19 13z",
  down: "M12 18l7-7-1.500-1.500L13 14V5h-2v9L6.500 9.500 5 11z",
  remove: "M6 7l1 13h10l1-13zm3-3h6l1 1h4v1.500H4V5h4z",
  more: "M5 10a2 2 0 1 0 0 4 2 2 0 0 0 0-4zm7 0a2 2 0 1 0 0 4 2 2 0 0 0 0-4zm7 0a2 2 0 1 0 0 4 2 2 0 0 0 0-4z",
};

const WIDE = { ",": "，", ".": "。", "!": "！", "?": "？" }; // as Chinese is printed

function icon(name) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("aria-hidden", "true");
  const path = document.createElementNS(svg.namespaceURI, "path");
  path.setAttribute("d", ICONS[name]);
  svg.append(path);
  return svg;
}

// make("p", {class: "x", onclick: f}, "text", child): never by innerHTML, since texts are the users'.
function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (typeof value === "boolean") element.toggleAttribute(name, value);
    else if (value !== undefined && value !== null) element.setAttribute(name, value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

function tool(name, label, onclick) {
  return make("button", { type: "button", class: `tool ${name}`, "aria-label": label, title: label, onclick }, icon(name));
}

function relabel(button, name, label) {
  button.replaceChildren(icon(name));
  button.setAttribute("aria-label", label);
  button.title = label;
}

// A card on the page. card: what editor.js keeps; act: {play, reroll, edit, choose …}(card, …).
class CardView {
  constructor(card, act) {
    this.card = card;
    this.act = act;
    this.chars = [];
    this.said = make("div", { class: "said", role: "group", lang: "zh", onkeydown: (event) => this.walk(event) });
    this.play = tool("play", "", () => act.play(card));
    this.lock = tool("lock", "", () => act.lock(card));
    this.tools = make(
      "div",
      { class: "tools" },
      tool("reroll", say("card.reroll"), () => act.reroll(card)),
      tool("edit", say("card.edit"), () => this.edit()),
      this.lock,
      tool("up", say("card.up"), () => act.move(card, -1)),
      tool("down", say("card.down"), () => act.move(card, 1)),
      tool("remove", say("card.remove"), () => act.remove(card)),
      (this.more = tool("more", say("card.more"), () => this.unfold())),
    );
    this.more.setAttribute("aria-expanded", "false");
    this.notes = make("div", { class: "notes" });
    this.panel = make("div", { class: "panel", hidden: true });
    this.picker = make("div", { class: "picker", role: "group", hidden: true, onkeydown: (event) => this.unpick(event) });
    this.gap = make("div", { class: "gap" });
    this.element = make(
      "li",
      { class: "sentence" },
      make("div", { class: "line" }, this.play, this.said, this.tools),
      this.picker,
      this.notes,
      this.panel,
      this.gap,
    );
    this.read();
  }

  // The characters under their pinyin. One of them can be reached by Tab, the others by the arrow keys.
  read() {
    const { card } = this;
    this.chars = card.chars.map((char, i) => {
      if (!char.pinyin) return make("span", { class: "mark" }, WIDE[char.text] ?? char.text);
      const title = char.known.map(([, pinyin]) => pinyin).join(" / ") + (char.mark ? ` · ${say(`mark.${char.mark}`)}` : "");
      return make(
        "button",
        {
          type: "button",
          class: `char ${char.mark || ""}`,
          tabindex: "-1",
          title,
          "aria-label": `${char.text} ${char.pinyin}${char.mark ? `, ${say(`mark.${char.mark}`)}` : ""}`,
          onclick: () => this.pick(i),
        },
        make("ruby", {}, char.text, make("rt", { class: `tone${char.tone}` }, char.pinyin)),
      );
    });
    const first = this.chars.find((char) => char.tagName === "BUTTON");
    if (first) first.tabIndex = 0;
    this.said.replaceChildren(...this.chars);
    if (this.picker.contains(document.activeElement)) this.close(); // a hidden field would keep the keys for a frame
    else this.picker.hidden = true;
    if (card.changes.length) {
      const told = card.changes.map(({ text, said }) => `${text} → ${said}`).join(say("comma"));
      this.said.append(make("span", { class: "changes" }, told));
    }
  }

  walk(event) {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    const buttons = this.chars.filter((char) => char.tagName === "BUTTON");
    const at = buttons.indexOf(document.activeElement);
    if (!step || at < 0) return;
    event.preventDefault();
    const next = buttons[(at + step + buttons.length) % buttons.length];
    buttons[at].tabIndex = -1;
    next.tabIndex = 0;
    next.focus();
  }

  // What else a character could be; a choice is written into the text, so that it is kept with it.
  pick(i) {
    const { card, act, picker } = this;
    const char = card.chars[i];
    if (!picker.hidden && this.picked === i) return this.close();
    this.picked = i;
    const input = make("input", { type: "text", size: "8", spellcheck: "false", autocapitalize: "off", placeholder: "hang2", "aria-label": say("reading.own", { char: char.text }) });
    const remember = make("input", { type: "checkbox" });
    const settle = async (reading) => {
      const error = await act.settle(card, i, reading, remember.checked);
      if (!error) return;
      fault.textContent = error;
      input.focus();
    };
    const fault = make("p", { class: "error", role: "alert" });
    const choices = char.known.map(([reading, pinyin]) =>
      make("button", { type: "button", class: "choice", "aria-pressed": String(reading === char.reading), onclick: () => settle(reading) }, pinyin),
    );
    const written = Array.from(card.text)[char.position] === char.text;
    picker.replaceChildren(
      make("b", {}, char.text),
      ...(written
        ? [
            ...choices,
            make("form", { onsubmit: (event) => (event.preventDefault(), settle(input.value)) }, input, make("button", { class: "choice" }, say("reading.use"))),
            make("label", {}, remember, say("reading.remember")),
          ]
        : [make("span", { class: "hint" }, say("reading.changed")), make("button", { type: "button", class: "choice", onclick: () => this.edit() }, say("card.edit"))]),
      make("button", { type: "button", class: "choice", onclick: () => this.close() }, say("close")),
      fault,
    );
    picker.setAttribute("aria-label", say("reading.of", { char: char.text }));
    picker.hidden = false;
    picker.querySelector("button, input").focus();
  }

  unpick(event) {
    if (event.key === "Escape") {
      event.stopPropagation();
      this.close();
    }
  }

  close() {
    this.picker.hidden = true;
    this.chars[this.picked]?.focus();
  }

  // The sentence as text; Enter takes it, Escape leaves it as it was.
  edit() {
    if (this.card.locked || this.editing) return;
    this.picker.hidden = true;
    this.editing = make("textarea", { class: "edit", rows: "2", "aria-label": say("card.edit"), lang: "zh" });
    this.editing.value = this.card.text;
    const done = (take) => {
      const area = this.editing;
      if (!area) return;
      this.editing = null;
      area.replaceWith(this.said);
      this.element.querySelector(".tool.edit").focus();
      if (take && area.value.trim() !== this.card.text) this.act.rewrite(this.card, area.value);
    };
    this.editing.addEventListener("keydown", (event) => {
      if (event.key === "Escape" || (event.key === "Enter" && !event.isComposing)) {
        event.preventDefault();
        event.stopPropagation();
        done(event.key === "Enter");
      }
    });
    this.editing.addEventListener("blur", () => done(true));
    this.said.replaceWith(this.editing);
    this.editing.focus();
  }

  unfold() {
    this.panel.hidden = !this.panel.hidden;
    this.more.setAttribute("aria-expanded", String(!this.panel.hidden));
    if (!this.panel.hidden) this.fill();
  }

  // The card's own settings; what is left empty follows the settings of all.
  fill() {
    const { card, act } = this;
    const voice = act.voice(card);
    this.inputs = {};
    const own = (name, input) => {
      this.inputs[name] = input;
      input.disabled = card.locked;
      input.addEventListener("change", () => act.set(card, name, input.value));
      return make("label", {}, say(`option.${name}`), input);
    };
    const choices = (id, options) => make("datalist", { id }, ...options.map(([value, label]) => make("option", { value }, label)));
    const speakers = make("select", {}, make("option", { value: "" }, say("follow")), ...voice.speakers.map((name) => make("option", { value: name }, name)));
    const mixed = card.options.speaker;
    if (mixed && !voice.speakers.includes(mixed)) speakers.append(make("option", { value: mixed }, mixed));
    const emotions = `emotions-${card.id}`;
    const number = (low, high, step) => make("input", { type: "number", min: low, max: high, step, placeholder: say("follow") });
    const grid = make("div", { class: "six" });
    const picture = make("div", { class: "picture" });
    this.picture = picture;
    this.panel.replaceChildren(
      make(
        "div",
        { class: "own" },
        own("speaker", speakers),
        own("emotion", make("input", { type: "text", list: emotions, placeholder: say("follow") })),
        choices(emotions, voice.emotions.map(([emotion, ...names]) => [emotion, names[window.pageLanguage]])),
        own("emotion_strength", number(0, 1.5, 0.05)),
        own("speed", number(0.5, 2, 0.05)),
        own("seed", number(0, 4294967295, 1)),
      ),
      make(
        "div",
        { class: "wide" },
        make("button", { type: "button", class: "choice", onclick: () => act.six(card, grid) }, say("six")),
        make("button", { type: "button", class: "choice", onclick: () => act.look(card, picture) }, say("look")),
      ),
      grid,
      picture,
    );
    this.sync();
  }

  sync() {
    for (const [name, input] of Object.entries(this.inputs ?? {}))
      if (input !== document.activeElement) input.value = this.card.options[name] ?? "";
  }

  // What changes without the text: is there sound, what is its own, which takes there are, the pause after it.
  refresh(number, count, state) {
    const { card, act } = this;
    const now = JSON.stringify([number, count, state, card.options, card.locked, card.takes.length, card.ends, card.text]);
    if (now === this.shown) return;
    this.shown = now;
    this.sync();
    this.element.dataset.state = state.sound;
    this.element.classList.toggle("locked", card.locked);
    this.element.setAttribute("aria-label", say("card.name", { number: number + 1 }));
    this.said.setAttribute("aria-label", say("said", card));
    relabel(this.play, state.playing ? "stop" : "play", say(state.playing ? "card.stop" : "card.play", { number: number + 1 }));
    relabel(this.lock, card.locked ? "lock" : "unlock", say(card.locked ? "card.unlock" : "card.lock"));
    this.lock.setAttribute("aria-pressed", String(card.locked));
    for (const name of ["reroll", "edit", "remove"]) this.tools.querySelector(`.${name}`).disabled = card.locked;
    this.tools.querySelector(".up").disabled = number === 0;
    this.tools.querySelector(".down").disabled = number === count - 1;
    const own = card.locked ? [] : ["speaker", "emotion", "emotion_strength", "speed"].filter((name) => card.options[name] !== undefined);
    const chips = own.map((name) =>
      make(
        "button",
        { type: "button", class: "chip", title: say("chip.remove"), "aria-label": `${say(`option.${name}`)} ${card.options[name]}, ${say("chip.remove")}`, onclick: () => act.set(card, name, "") },
        `${say(`option.${name}`)} ${card.options[name]} ×`,
      ),
    );
    const takes = card.takes.length > 1 ? card.takes.map((take, i) =>
      make(
        "button",
        { type: "button", class: "take", "aria-pressed": String(i === state.take), "aria-label": say("take", { number: i + 1 }), title: say("take.title", { seed: take.options.seed }), disabled: card.locked, onclick: () => act.choose(card, i) },
        String(i + 1),
      ),
    ) : [];
    const stale = state.sound === "stale" ? [make("span", { class: "badge lacks" }, say("stale"))] : [];
    this.notes.replaceChildren(...stale, ...chips, ...(takes.length ? [make("span", { class: "hint" }, say("takes")), ...takes] : []));
    this.gap.hidden = number === count - 1;
    if (!this.gap.hidden && document.activeElement !== this.gap.querySelector("input")) {
      const input = make("input", { type: "number", min: 0, max: 10, step: 0.1, "aria-label": say("pause.after", { number: number + 1 }), onchange: () => act.pause(card, input.value) });
      input.value = state.pause;
      this.gap.replaceChildren(make("span", {}, say(card.ends === "paragraph" ? "pause.paragraph" : "pause")), input, make("span", {}, say("seconds")));
    }
  }
}
