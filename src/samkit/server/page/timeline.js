// What is known of each object in each frame, and where the film stands.

import { colourOf } from "./masks.js";

const ROW = 18, BAR = 10, MOST_ROWS = 8, EDGE = 8;
// Of the frames that one pixel stands for, the first of these letters is shown.
const ORDER = "CcPpTt-";
const WORDS = {
  p: "prompted", c: "corrected", t: "tracked", "-": "not known",
  P: "said to be absent", C: "said to be absent", T: "absent",
};

export class Timeline {
  constructor(canvas, seek) {
    this.canvas = canvas;
    this.context = canvas.getContext("2d");
    this.seek = seek;
    this.count = 1;
    this.frame = 0;
    this.objects = [];
    this.chosen = null;
    new ResizeObserver(() => this.redraw()).observe(canvas);
    canvas.addEventListener("pointerdown", (event) => {
      canvas.setPointerCapture(event.pointerId);
      this.isHeld = true;
      this.seek(this.frameAt(event));
    });
    canvas.addEventListener("pointermove", (event) => {
      canvas.title = this.titleAt(event);
      if (this.isHeld) this.seek(this.frameAt(event));
    });
    for (const name of ["pointerup", "pointercancel"]) canvas.addEventListener(name, () => { this.isHeld = false; });
  }

  show(values) {
    Object.assign(this, values);
    const { canvas, count, frame } = this;
    canvas.style.height = `${Math.max(1, Math.min(MOST_ROWS, this.objects.length)) * ROW + 6}px`;
    canvas.setAttribute("aria-valuemax", String(count - 1));
    canvas.setAttribute("aria-valuenow", String(frame));
    canvas.setAttribute("aria-valuetext", this.text());
    this.redraw();
  }

  text() {
    const states = this.objects.map((one) => `${one.label} ${WORDS[one.timeline[this.frame]]}`);
    return [`frame ${this.frame} of ${this.count - 1}`, ...states].join(", ");
  }

  titleAt(event) {
    const row = Math.floor((event.clientY - this.canvas.getBoundingClientRect().top - 3) / ROW);
    const [one, frame] = [this.rows()[row], this.frameAt(event)];
    return one ? `frame ${frame}: ${one.label} ${WORDS[one.timeline[frame]]}` : `frame ${frame}`;
  }

  // The chosen object is always among them.
  rows() {
    const rows = this.objects.slice(-MOST_ROWS);
    const chosen = this.objects.find((one) => one.id === this.chosen);
    if (chosen && !rows.includes(chosen)) rows[0] = chosen;
    return rows;
  }

  frameAt(event) {
    const { left, width } = this.canvas.getBoundingClientRect();
    const frame = Math.floor(((event.clientX - left - EDGE) / (width - 2 * EDGE)) * this.count);
    return Math.min(this.count - 1, Math.max(0, frame));
  }

  redraw() {
    if (this.pending) return;
    this.pending = requestAnimationFrame(() => { this.pending = 0; this.draw(); });
  }

  draw() {
    const { canvas, context, count } = this;
    const { width, height } = canvas.getBoundingClientRect();
    if (!width) return;
    const ratio = devicePixelRatio;
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(height * ratio);
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    const style = getComputedStyle(canvas);
    const [front, line] = [style.color, style.getPropertyValue("--line")];
    this.rows().forEach((one, i) => this.drawRow(one, 3 + i * ROW, width, { front, line }));
    context.fillStyle = front;
    const x = EDGE + ((this.frame + 0.5) / count) * (width - 2 * EDGE);
    context.fillRect(x - 1, 0, 2, height);
  }

  drawRow(one, top, width, { front, line }) {
    const { context, count } = this;
    const middle = top + ROW / 2;
    const colour = `rgb(${colourOf(one.id).join(",")})`;
    if (one.id === this.chosen) {
      context.strokeStyle = front;
      context.lineWidth = 1;
      context.strokeRect(0.5, top + 0.5, width - 1, ROW - 1);
    }
    const columns = Math.min(count, Math.ceil(width - 2 * EDGE));
    const step = (width - 2 * EDGE) / columns;
    const marks = [];
    for (let first = 0, last = 0; first < columns; first = last) {
      const letter = this.letterOf(one, first, columns);
      for (last = first + 1; last < columns && this.letterOf(one, last, columns) === letter;) last += 1;
      const [x, length] = [EDGE + first * step, (last - first) * step];
      const isBar = "pct".includes(letter); // or a thin line
      context.fillStyle = letter === "-" ? line : colour;
      context.fillRect(x, middle - (isBar ? BAR / 2 : 1), length, isBar ? BAR : 2);
      if ("PpCc".includes(letter)) {
        for (let i = 0; i < last - first; i++) marks.push([x + (i + 0.5) * step, letter]);
      }
    }
    // A disc where it was prompted, a diamond where it was corrected.
    for (const [x, letter] of marks) {
      context.beginPath();
      if ("Pp".includes(letter)) context.arc(x, middle, 5.5, 0, 2 * Math.PI);
      else [[0, -6.5], [6.5, 0], [0, 6.5], [-6.5, 0]].forEach(([dx, dy]) => context.lineTo(x + dx, middle + dy));
      context.closePath();
      context.fillStyle = "#fff";
      context.fill();
      context.lineWidth = 2;
      context.strokeStyle = "#000";
      context.stroke();
    }
  }

  letterOf(one, column, columns) {
    const [first, end] = [column, column + 1].map((i) => Math.floor((i * this.count) / columns));
    for (const letter of ORDER) {
      const at = one.timeline.indexOf(letter, first);
      if (at >= 0 && at < end) return letter;
    }
    return "-";
  }
}
