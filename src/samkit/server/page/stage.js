// The canvas: the picture, masks, prompts; and what the pointer and the keys do on it.

import { drawBox, drawBrush, drawCross, drawPoint, drawWay } from "./marks.js";
import { Viewport } from "./viewport.js";

const DRAG = 5; // screen pixels from which a click is a box
const MOST_SCRIBBLED = 8; // points that a scribble becomes
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

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
    this.gesture = null; // what is going on: { kind, points in pixels of the image, byKeys, ... }
    this.cross = null; // moved by the arrow keys, in pixels of the image
    this.pointer = null; // on the screen
    this.isHidden = false;
    this.space = null; // while the key is held: whether the image was moved
    new ResizeObserver(() => this.resize()).observe(canvas);
    canvas.addEventListener("pointerdown", (event) => this.down(event));
    canvas.addEventListener("pointermove", (event) => this.move(event));
    canvas.addEventListener("pointerup", () => { if (!this.gesture?.byKeys) this.end(); });
    canvas.addEventListener("pointercancel", () => this.cancel());
    canvas.addEventListener("pointerleave", () => { this.pointer = null; actions.leave(); });
    canvas.addEventListener("contextmenu", (event) => event.preventDefault());
    canvas.addEventListener("wheel", (event) => this.wheel(event), { passive: false });
    canvas.addEventListener("keyup", (event) => this.keyUp(event));
    canvas.addEventListener("blur", () => { this.space = null; this.cancel(); });
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
  setTool(tool) { this.tool = tool; this.cancel(); }

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
    if (this.cross && !this.isHidden) drawCross(context, ...view.toScreen(...this.cross));
  }

  drawPrompts() {
    const { context, view } = this;
    for (const { box, points = [], labels = [] } of this.steps) {
      if (box) drawBox(context, view.toScreen(box[0], box[1]), view.toScreen(box[2], box[3]));
      points.forEach((point, i) => drawPoint(context, ...view.toScreen(...point), labels[i] ?? 1));
    }
  }

  drawGesture() {
    const { context, view, gesture, radius, tool } = this;
    const points = gesture?.points?.map((point) => view.toScreen(...point));
    if (gesture?.kind === "box") drawBox(context, points[0], points.at(-1));
    if (gesture?.kind === "scribble") drawWay(context, points, 4, gesture.label === 0);
    if (gesture?.kind === "paint") drawWay(context, points, 2 * radius, tool === "eraser");
    const middle = this.cross ? view.toScreen(...this.cross) : this.pointer;
    if (["brush", "eraser"].includes(tool) && middle) drawBrush(context, ...middle, radius, tool === "eraser");
  }

  // The image

  isInside([x, y]) {
    const { width, height } = this.picture;
    return x >= 0 && y >= 0 && x < width && y < height;
  }

  clipped([x, y]) {
    const { width, height } = this.picture;
    return [Math.min(width, Math.max(0, x)), Math.min(height, Math.max(0, y))];
  }

  // Gestures, of the pointer or of keys

  // The one that the tool stands for.
  begin(point, label, more) {
    const kind = { click: "click", scribble: "scribble" }[this.tool] ?? "paint";
    this.gesture = { kind, points: [point], label, ...more };
    this.redraw();
  }

  end() {
    const { gesture } = this;
    this.gesture = null;
    this.redraw();
    // The margin around the image is not a part of it; a box may begin there.
    if (!this.picture || !gesture?.points) return;
    const { kind, points, label, byKeys } = gesture;
    const inside = points.filter((point) => byKeys || this.isInside(point));
    if (!inside.length && kind !== "box") return;
    if (kind === "click") this.actions.click(...points[0], label);
    if (kind === "box") {
      const [[ax, ay], [bx, by]] = [points[0], points.at(-1)].map((point) => this.clipped(point));
      const box = [Math.min(ax, bx), Math.min(ay, by), Math.max(ax, bx), Math.max(ay, by)];
      if (box[0] < box[2] && box[1] < box[3]) this.actions.box(box);
    }
    if (kind === "scribble") this.actions.scribble(spread(inside, MOST_SCRIBBLED), label);
    if (kind === "paint") {
      this.actions.stroke({ points, radius: this.radius / this.view.scale, erase: this.tool === "eraser" });
    }
  }

  cancel() {
    this.gesture = null;
    this.redraw();
  }

  // The pointer

  at(event) {
    const { left, top } = this.canvas.getBoundingClientRect();
    return [event.clientX - left, event.clientY - top];
  }

  down(event) {
    if (!this.picture || (this.gesture && !this.gesture.byKeys)) return;
    this.canvas.focus();
    this.canvas.setPointerCapture(event.pointerId);
    event.preventDefault();
    const screen = this.at(event);
    this.cross = null;
    const label = event.button === 2 || event.shiftKey ? 0 : 1;
    if (event.button === 1 || this.space !== null) this.gesture = { kind: "pan", screen };
    else this.begin(this.view.toImage(...screen), label, { screen });
  }

  move(event) {
    const screen = this.at(event);
    this.pointer = screen;
    if (!this.picture) return;
    const { gesture } = this;
    const point = this.view.toImage(...screen);
    if (!gesture) {
      if (this.tool === "click" && this.isInside(point)) this.actions.hover(...point);
      else this.actions.leave();
      return;
    }
    if (gesture.byKeys) return;
    if (gesture.kind === "pan") {
      this.view.move(screen[0] - gesture.screen[0], screen[1] - gesture.screen[1]);
      gesture.screen = screen;
      if (this.space !== null) this.space = true;
    } else {
      const isFar = Math.hypot(screen[0] - gesture.screen[0], screen[1] - gesture.screen[1]) > DRAG;
      if (gesture.kind === "click" && gesture.label === 1 && isFar) gesture.kind = "box";
      if (gesture.kind !== "click") gesture.points.push(point);
    }
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
    if (!this.picture) return false;
    const isDrawing = Boolean(this.gesture?.byKeys);
    if (ARROWS[event.key]) {
      this.moveCross(ARROWS[event.key], event.shiftKey);
    } else if (event.key === " ") {
      if (this.space === null) this.space = false;
    } else if (event.key.toLowerCase() === "b" && !isDrawing) {
      this.beginBox();
    } else if (event.key === "Enter" && isDrawing) {
      this.end();
    } else if (event.key === "Escape" && (this.gesture || this.cross)) {
      const wasGesture = Boolean(this.gesture);
      if (!isDrawing) this.cross = null;
      this.cancel();
      return wasGesture;
    } else {
      return false;
    }
    event.preventDefault();
    return true;
  }

  keyUp(event) {
    if (event.key !== " ") return;
    const wasMoved = this.space !== false; // or was pressed elsewhere
    this.space = null;
    if (wasMoved || !this.cross || !this.picture) return;
    if (this.gesture?.byKeys) return this.end();
    this.begin(this.cross, event.shiftKey ? 0 : 1, { byKeys: true });
    if (this.gesture.kind === "click") this.end();
  }

  moveCross([dx, dy], isFine) {
    const step = isFine ? 1 : 12 / this.view.scale;
    const [x, y] = this.cross ?? this.middle;
    this.cross = this.clipped([x + dx * step, y + dy * step]);
    if (this.gesture?.byKeys) this.gesture.points.push(this.cross);
    this.view.show(...this.cross);
    this.redraw();
  }

  get middle() {
    return [this.picture.width / 2, this.picture.height / 2];
  }

  beginBox() {
    this.cross ??= this.middle;
    this.gesture = { kind: "box", points: [this.cross], byKeys: true };
    this.redraw();
  }
}

// Some of the points of a way, its ends among them.
function spread(points, count) {
  if (points.length <= count) return points;
  return Array.from({ length: count }, (_, i) => points[Math.round((i * (points.length - 1)) / (count - 1))]);
}
