// The canvas: the picture, masks, prompts; and what the pointer and the keys do on it.

import { Viewport } from "./viewport.js";

const DRAG = 5; // screen pixels from which a click is a box
const MOST_SCRIBBLED = 8; // points that a scribble becomes

export class Stage {
  constructor(canvas, actions) {
    this.canvas = canvas;
    this.context = canvas.getContext("2d", { alpha: false });
    this.actions = actions;
    this.view = new Viewport();
    this.tool = "click";
    this.radius = 12; // of the brush, in screen pixels
    this.picture = null;
    this.steps = [];
    this.gesture = null; // what is going on with the pointer: { kind, points, ... }
    this.cross = null; // moved by the arrow keys, in pixels of the image
    this.pointer = null; // on the screen
    this.isHidden = false;
    this.space = null; // while the key is held: whether the image was moved
    new ResizeObserver(() => this.resize()).observe(canvas);
    canvas.addEventListener("pointerdown", (event) => this.down(event));
    canvas.addEventListener("pointermove", (event) => this.move(event));
    canvas.addEventListener("pointerup", (event) => this.up(event));
    canvas.addEventListener("pointercancel", () => this.cancel());
    canvas.addEventListener("pointerleave", () => { this.pointer = null; actions.leave(); });
    canvas.addEventListener("contextmenu", (event) => event.preventDefault());
    canvas.addEventListener("wheel", (event) => this.wheel(event), { passive: false });
    canvas.addEventListener("keyup", (event) => this.keyUp(event));
    canvas.addEventListener("blur", () => { this.space = null; });
  }

  // A picture has a width and a height, draws itself in a viewport, and can be closed.
  open(picture) {
    this.close();
    this.picture = picture;
    this.view.setImage(picture.width, picture.height);
    this.redraw();
  }

  // Another picture of the same size, which is seen as the one before.
  replace(picture) {
    this.picture?.close();
    this.picture = picture;
    this.redraw();
  }

  close() {
    this.picture?.close();
    this.picture = null;
    this.steps = [];
    this.cross = null;
    this.cancel();
  }

  resize() {
    const { width, height } = this.canvas.getBoundingClientRect();
    if (!width || !height) return;
    this.ratio = devicePixelRatio;
    this.canvas.width = Math.round(width * this.ratio);
    this.canvas.height = Math.round(height * this.ratio);
    this.view.setScreen(width, height);
    this.redraw();
  }

  fit() { this.view.fit(); this.redraw(); }
  zoom(factor) { this.view.zoom(factor); this.redraw(); }
  hideMasks(isHidden) { this.isHidden = isHidden; this.redraw(); }
  showPrompts(steps) { this.steps = steps; }

  // Drawing: at most once for each frame of the screen.
  redraw() {
    if (this.frame) return;
    this.frame = requestAnimationFrame(() => { this.frame = 0; this.draw(); });
  }

  draw() {
    const { context, view, ratio } = this;
    if (!ratio) return;
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.fillStyle = getComputedStyle(this.canvas.parentElement).backgroundColor;
    context.fillRect(0, 0, view.width, view.height);
    if (!this.picture) return;
    this.picture.draw(context, view, ratio);
    this.actions.draw(context, view, this.isHidden);
    if (!this.isHidden) this.drawPrompts();
    this.drawGesture();
  }

  drawPrompts() {
    for (const step of this.steps) {
      if (step.box) this.drawBox(step.box);
      (step.points ?? []).forEach(([x, y], i) => this.drawPoint(x, y, step.labels?.[i] ?? 1));
    }
    if (this.cross) this.drawCross(...this.view.toScreen(...this.cross));
  }

  // The sign says what the colour says too.
  drawPoint(x, y, label) {
    const { context } = this;
    const [sx, sy] = this.view.toScreen(x, y);
    context.beginPath();
    context.arc(sx, sy, 7, 0, 2 * Math.PI);
    context.fillStyle = label ? "#009e73" : "#b3003c";
    context.fill();
    context.lineWidth = 2;
    context.strokeStyle = "#fff";
    context.stroke();
    context.beginPath();
    context.moveTo(sx - 3.5, sy);
    context.lineTo(sx + 3.5, sy);
    if (label) {
      context.moveTo(sx, sy - 3.5);
      context.lineTo(sx, sy + 3.5);
    }
    context.stroke();
  }

  drawBox([x0, y0, x1, y1]) {
    const { context } = this;
    const [left, top] = this.view.toScreen(x0, y0);
    const [right, bottom] = this.view.toScreen(x1, y1);
    for (const [width, colour] of [[3, "#000a"], [1.5, "#fff"]]) {
      context.lineWidth = width;
      context.strokeStyle = colour;
      context.strokeRect(left, top, right - left, bottom - top);
    }
  }

  drawCross(x, y) {
    const { context } = this;
    for (const [width, colour] of [[4, "#000"], [2, "#fff"]]) {
      context.lineWidth = width;
      context.strokeStyle = colour;
      context.beginPath();
      for (const [dx, dy] of [[1, 0], [-1, 0], [0, 1], [0, -1]]) {
        context.moveTo(x + 4 * dx, y + 4 * dy);
        context.lineTo(x + 14 * dx, y + 14 * dy);
      }
      context.stroke();
    }
  }

  drawGesture() {
    const { context, gesture } = this;
    const isPainting = this.tool === "brush" || this.tool === "eraser";
    if (gesture?.kind === "box") this.drawBox([...gesture.points[0], ...gesture.points.at(-1)]);
    if (gesture?.kind === "paint" || gesture?.kind === "scribble") {
      context.lineCap = context.lineJoin = "round";
      context.lineWidth = gesture.kind === "paint" ? 2 * this.radius : 4;
      context.strokeStyle = this.tool === "eraser" || gesture.label === 0 ? "#b3003c99" : "#009e7399";
      context.beginPath();
      gesture.points.forEach((point, i) => {
        const at = this.view.toScreen(...point);
        if (i) context.lineTo(...at);
        else context.moveTo(...at);
      });
      if (gesture.points.length === 1) context.lineTo(...this.view.toScreen(...gesture.points[0]));
      context.stroke();
    }
    if (isPainting && this.pointer) {
      context.beginPath();
      context.arc(...this.pointer, this.radius, 0, 2 * Math.PI);
      context.lineWidth = 1.5;
      context.strokeStyle = this.tool === "eraser" ? "#b3003c" : "#009e73";
      context.stroke();
    }
  }

  // The pointer

  at(event) {
    const { left, top } = this.canvas.getBoundingClientRect();
    return [event.clientX - left, event.clientY - top];
  }

  inImage([x, y]) {
    const { width, height } = this.picture;
    return [Math.min(width, Math.max(0, x)), Math.min(height, Math.max(0, y))];
  }

  down(event) {
    if (!this.picture || this.gesture) return;
    this.canvas.focus();
    this.canvas.setPointerCapture(event.pointerId);
    const screen = this.at(event);
    const point = this.inImage(this.view.toImage(...screen));
    this.cross = null;
    const label = event.button === 2 || event.shiftKey ? 0 : 1;
    if (event.button === 1 || this.space !== null) this.gesture = { kind: "pan", screen };
    else if (this.tool === "scribble") this.gesture = { kind: "scribble", points: [point], label };
    else if (this.tool !== "click") this.gesture = { kind: "paint", points: [point] };
    else this.gesture = { kind: "click", points: [point], screen, label };
    event.preventDefault();
    this.redraw();
  }

  move(event) {
    const screen = this.at(event);
    this.pointer = screen;
    if (!this.picture) return;
    const { gesture } = this;
    const point = this.view.toImage(...screen);
    if (!gesture) {
      const { width, height } = this.picture;
      const isInside = point[0] >= 0 && point[1] >= 0 && point[0] < width && point[1] < height;
      if (this.tool === "click" && isInside) this.actions.hover(...point);
      if (this.tool !== "click") this.redraw();
      return;
    }
    if (gesture.kind === "pan") {
      this.view.move(screen[0] - gesture.screen[0], screen[1] - gesture.screen[1]);
      gesture.screen = screen;
      if (this.space !== null) this.space = true;
    } else {
      if (gesture.kind === "click" && gesture.label === 1 &&
        Math.hypot(screen[0] - gesture.screen[0], screen[1] - gesture.screen[1]) > DRAG) gesture.kind = "box";
      if (gesture.kind !== "click") gesture.points.push(this.inImage(point));
    }
    this.redraw();
  }

  up(event) {
    const { gesture } = this;
    this.gesture = null;
    if (!gesture || gesture.kind === "pan" || !this.picture) return;
    const { points, label } = gesture;
    if (gesture.kind === "click") this.actions.click(...points[0], label);
    if (gesture.kind === "box") {
      const [[ax, ay], [bx, by]] = [points[0], points.at(-1)];
      const box = [Math.min(ax, bx), Math.min(ay, by), Math.max(ax, bx), Math.max(ay, by)];
      if (box[0] < box[2] && box[1] < box[3]) this.actions.box(box);
    }
    if (gesture.kind === "scribble") this.actions.scribble(spread(points, MOST_SCRIBBLED), label);
    if (gesture.kind === "paint") {
      this.actions.stroke({ points, radius: this.radius / this.view.scale, erase: this.tool === "eraser" });
    }
    this.redraw();
  }

  cancel() {
    this.gesture = null;
    this.redraw();
  }

  wheel(event) {
    event.preventDefault();
    const lines = event.deltaMode === 1 ? 30 : 1;
    this.view.zoom(Math.exp(-event.deltaY * lines * 0.0015), ...this.at(event));
    this.redraw();
  }

  // The keys; whether one was for the canvas.
  key(event) {
    const arrow = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    if (arrow && this.picture) {
      event.preventDefault();
      const step = event.shiftKey ? 1 : 12 / this.view.scale;
      const [x, y] = this.cross ?? [this.picture.width / 2, this.picture.height / 2];
      this.cross = this.inImage([x + arrow[0] * step, y + arrow[1] * step]);
      this.view.show(...this.cross);
      this.redraw();
      return true;
    }
    if (event.key === " ") {
      event.preventDefault();
      if (this.space === null) this.space = false;
      return true;
    }
    if (event.key === "Escape" && (this.gesture || this.cross)) {
      const wasGesture = this.gesture;
      this.cross = null;
      this.cancel();
      return Boolean(wasGesture);
    }
    return false;
  }

  keyUp(event) {
    if (event.key !== " ") return;
    if (this.space === false && this.cross) this.actions.click(...this.cross, event.shiftKey ? 0 : 1);
    this.space = null;
  }
}

// Some of the points of a way, its ends among them.
function spread(points, count) {
  if (points.length <= count) return points;
  return Array.from({ length: count }, (_, i) => points[Math.round((i * (points.length - 1)) / (count - 1))]);
}
