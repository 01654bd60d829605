// Sounds pieces end to end on the audio clock: no codec, no gap, no file. `marks` remember what sounds when.

const LEAD = 0.08; // seconds between a piece's arrival and its sound, at the start and after a pause in the making

class Player {
  constructor() {
    this.context = null; // one AudioContext for each speech
    this.marks = [];
    this.end = 0; // where the scheduled sound ends, on the context's clock
  }

  // Browsers let a page sound only from a user's gesture, so this is called in the click itself.
  open(rate) {
    this.stop();
    this.context = new AudioContext({ sampleRate: rate });
  }

  // wave: 16-bit samples. What they belong to comes back from heard().
  add(wave, rate, what) {
    const buffer = this.context.createBuffer(1, wave.length, rate);
    buffer.copyToChannel(Float32Array.from(wave, (x) => x / 32768), 0);
    const source = new AudioBufferSourceNode(this.context, { buffer });
    source.connect(this.context.destination);
    if (this.end < this.context.currentTime) this.end = this.context.currentTime + LEAD;
    source.start(this.end);
    this.marks.push({ at: this.end, seconds: buffer.duration, ...what });
    this.end += buffer.duration;
  }

  rest(seconds) {
    this.end += seconds;
  }

  get ahead() {
    return this.context ? Math.max(0, this.end - this.context.currentTime) : 0;
  }

  get sounding() {
    return this.context !== null && this.context.currentTime < this.end;
  }

  // What is being heard now: a mark, and the seconds that have passed in it.
  heard() {
    if (!this.context) return null;
    const now = this.context.currentTime - (this.context.outputLatency || 0);
    while (this.marks.length > 1 && this.marks[1].at <= now) this.marks.shift();
    const [mark] = this.marks;
    return mark && mark.at <= now && now < mark.at + mark.seconds ? { ...mark, passed: now - mark.at } : null;
  }

  stop() {
    this.context?.close();
    this.context = null;
    this.marks = [];
    this.end = 0;
  }
}
