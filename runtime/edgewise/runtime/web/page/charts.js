// Two small drawings: which label was shown when, and how long answers took. Sizes follow the page and its pixel ratio.
const SPAN_MS = 120_000, MOST = 2000;
// Okabe and Ito's colours, which people with any colour vision tell apart, and a stripe for every second round.
const COLOURS = ["#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#f0e442", "#7f7f7f"];

function surface(canvas) {
  const ratio = devicePixelRatio || 1, width = canvas.clientWidth, height = canvas.clientHeight;
  const [w, h] = [Math.round(width * ratio), Math.round(height * ratio)];
  if (canvas.width !== w || canvas.height !== h) [canvas.width, canvas.height] = [w, h];
  const pen = canvas.getContext("2d");
  pen.setTransform(ratio, 0, 0, ratio, 0, 0);
  pen.clearRect(0, 0, width, height);
  return { pen, width, height };
}

function fill(pen, number, x, y, width, height) {
  pen.fillStyle = COLOURS[number % COLOURS.length];
  pen.fillRect(x, y, width, height);
  if (number >= COLOURS.length) {
    pen.fillStyle = "#fff9";
    for (let at = y; at < y + height; at += 6) pen.fillRect(x, at, width, 2);
  }
}

export class Timeline {
  constructor(canvas, legend) {
    Object.assign(this, { canvas, legend });
    canvas.style.height = `${canvas.height}px`;
    this.clear();
  }

  clear() {
    this.spans = [];
    this.numbers = new Map();
    this.draw();
  }

  add(label) {
    const now = performance.now(), last = this.spans.at(-1);
    if (!this.numbers.has(label)) this.numbers.set(label, this.numbers.size);
    // A gap of two seconds is shown as one.
    if (last && last.label === label && now - last.end < 2000) last.end = now;
    else this.spans.push({ label, begin: last && now - last.end < 2000 ? last.end : now, end: now });
    this.spans = this.spans.filter((span) => span.end > now - SPAN_MS).slice(-MOST);
  }

  draw() {
    const { pen, width, height } = surface(this.canvas), begin = performance.now() - SPAN_MS;
    for (const span of this.spans) {
      const [from, to] = [span.begin, span.end].map((time) => (Math.max(time - begin, 0) / SPAN_MS) * width);
      fill(pen, this.numbers.get(span.label), from, 0, Math.max(to - from, 1), height);
    }
    const shown = [...new Set(this.spans.map((span) => span.label))];
    if (this.legend.dataset.shown === JSON.stringify(shown)) return;
    this.legend.dataset.shown = JSON.stringify(shown);
    this.legend.replaceChildren(...shown.map((label) => this.entry(label)));
  }

  entry(label) {
    const item = document.createElement("li"), swatch = document.createElement("canvas");
    [swatch.width, swatch.height] = [13, 13];
    fill(swatch.getContext("2d"), this.numbers.get(label), 0, 0, 13, 13);
    item.append(swatch, label);
    return item;
  }
}

export class Chart {
  constructor(canvas, scale) {
    Object.assign(this, { canvas, scale });
    canvas.style.height = `${canvas.height}px`;
    this.clear();
  }

  clear() {
    this.rows = [];
    surface(this.canvas);
  }

  add(inference, age) {
    this.rows.push([inference, age]);
    this.rows = this.rows.slice(-150);
    this.draw();
  }

  draw() {
    const { pen, width, height } = surface(this.canvas), colours = getComputedStyle(document.documentElement);
    const most = Math.max(10, ...this.rows.flat());
    this.scale.textContent = `0 to ${most.toFixed(0)} ms`;
    ["--inference", "--age"].forEach((name, column) => {
      pen.strokeStyle = colours.getPropertyValue(name);
      pen.lineWidth = 1.75;
      pen.beginPath();
      this.rows.forEach((row, index) => pen.lineTo((index / 149) * width, height - 3 - (row[column] / most) * (height - 6)));
      pen.stroke();
    });
  }
}
