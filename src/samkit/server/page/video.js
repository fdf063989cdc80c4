// A video: one frame is in view; objects are prompted and corrected in any frame, and tracked.

import { call, picture, stream } from "./api.js";
import { Classes } from "./classes.js";
import { listenToButtons, listenToKeys, setTool } from "./controls.js";
import { Mask, colourOf } from "./masks.js";
import { labelOf, showObjects } from "./objects.js";
import { Stage } from "./stage.js";
import { Timeline } from "./timeline.js";
import { busy, element, fail, get, say } from "./ui.js";

const MOST_LOOKS = 12;

export class Video {
  constructor(project) {
    this.project = project;
    this.objects = [];
    this.looks = []; // frames that are worth one, with an object and a reason
    this.look = -1; // the one that was gone to last
    this.frameKey = `samkit-frame-${project.folder}-${project.name}`;
    this.frame = Number(sessionStorage.getItem(this.frameKey)) || 0; // that is wanted in view
    if (this.frame >= project.frames) this.frame = 0;
    this.shown = -1; // that is in view
    this.masks = new Map(); // of objects there: id -> { kind, score, mask, ... }
    this.prompts = []; // there
    this.subject = { id: null }; // what clicks are about; a new object without an id
    this.sent = []; // prompts that can be undone: { subject, body }
    this.undone = [];
    this.canUndo = false;
    this.hasDeleted = false; // last of all
    this.queue = Promise.resolve(); // what changes objects happens one after the other
    this.tracking = null; // ends it
    this.follows = false; // whether frames are shown as they are tracked
    this.isPlaying = false;
    this.classes = new Classes(project.classes, () => this.classChanged());
    this.stage = new Stage(get("view"), {
      click: (x, y, label) => this.prompt({ prompt: { points: [[x, y]], labels: [label] } }),
      box: (box) => this.prompt({ prompt: { box } }),
      scribble: (points, label) => this.prompt({ prompt: { points, labels: points.map(() => label) } }),
      stroke: (stroke) => this.prompt({ strokes: [stroke] }),
      hover: () => {},
      leave: () => {},
      draw: (context, view, isHidden) => this.drawMasks(context, view, isHidden),
    });
    this.timeline = new Timeline(get("timeline"), (frame) => this.seek(frame));
  }

  async begin() {
    setTool(this.stage, "click");
    this.listen();
    get("form").replaceChildren(...this.project.exports.map((name) => new Option(name)));
    this.take(this.project);
    await busy("Opening", () => this.load());
    get("view").focus();
  }

  listen() {
    const to = (frame) => () => this.seek(frame());
    const back = to(() => this.frame - 1), forward = to(() => this.frame + 1);
    const [undo, redo, fresh, absent] = [() => this.undo(), () => this.redo(), () => this.choose(null), () => this.prompt({ absent: true })];
    const [play, nextLook, save] = [() => this.play(), () => this.nextLook(), () => this.export()];
    const [track, trackBack] = [() => this.track("forward"), () => this.track("backward")];
    listenToButtons(this.stage, {
      undo, redo, back, forward, play, track, "track-back": trackBack, stop: () => this.stop(),
      fresh, absent, look: nextLook, export: save,
    });
    listenToKeys(this.stage, {
      ...this.classes.keys, ",": back, ".": forward, "<": to(() => this.frame - 10), ">": to(() => this.frame + 10),
      Home: to(() => 0), End: to(() => this.project.frames - 1), k: play, t: track, r: trackBack, x: absent,
      l: nextLook, n: fresh, Enter: fresh, Delete: () => this.removeChosen(),
      Escape: () => (this.tracking ? this.stop() : this.choose(null)),
    }, { undo, redo, tab: () => false });
    get("timeline").addEventListener("keydown", (event) => {
      const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
      if (step) this.seek(this.frame + step * (event.shiftKey ? 10 : 1));
    });
  }

  get chosen() {
    return this.objects.find((one) => one.id === this.subject.id);
  }

  // Frames

  seek(frame) {
    this.isPlaying = false;
    this.follows = false;
    this.goTo(frame);
  }

  goTo(frame) {
    this.frame = Math.min(this.project.frames - 1, Math.max(0, frame));
    this.showWhere();
    return this.load();
  }

  // One at a time: when it has come, the one that is wanted then is loaded.
  load() {
    this.loading ??= this.loadWanted().catch(fail).finally(() => { this.loading = null; });
    return this.loading;
  }

  async loadWanted() {
    while (this.shown !== this.frame) {
      const { frame } = this;
      const [bitmap, known] = await Promise.all([
        picture(`/frames/${frame}`), call("GET", `/frames/${frame}/masks`),
      ]);
      await this.put(bitmap, known);
    }
  }

  async put(bitmap, known) {
    const isFirst = this.shown < 0;
    this.shown = known.frame;
    sessionStorage.setItem(this.frameKey, String(known.frame));
    if (isFirst) this.stage.open(new Still(bitmap));
    else this.stage.replace(new Still(bitmap));
    await this.takeMasks(known);
    document.body.dataset.ready = String(known.frame);
  }

  // In step with the film: frames that do not come in time are left out.
  async play() {
    this.isPlaying = !this.isPlaying;
    this.show();
    const [last, rate] = [this.project.frames - 1, (this.project.rate ?? 25) / 1000];
    const [first, start] = [this.frame === last ? 0 : this.frame, performance.now()];
    let frame = first;
    while (this.isPlaying && frame < last) {
      const next = first + Math.floor((performance.now() - start) * rate);
      if (next > frame) {
        frame = Math.min(next, last);
        await this.goTo(frame);
        if (this.shown !== this.frame) break; // it could not be loaded
      }
      await new Promise(requestAnimationFrame);
    }
    this.isPlaying = false;
    this.show();
  }

  // What the server knows

  take({ objects, looks, classes, can_undo: canUndo }) {
    this.objects = objects;
    this.canUndo = canUndo;
    this.looks = looks;
    this.classes.names = classes;
    if (this.subject.id !== null && !this.chosen) this.subject = { id: null };
    this.show();
  }

  async takeMasks({ frame, masks, prompts }) {
    if (frame !== this.shown) return;
    const made = await Promise.all(masks.map(async (one) => ({ ...one, mask: await Mask.from(one.mask) })));
    if (frame !== this.shown) return;
    this.masks = new Map(made.map((one) => [one.id, one]));
    this.prompts = prompts;
    this.show();
  }

  // Changes happen one after the other.
  change(work) {
    this.queue = this.queue.then(work).catch(fail).then(() => this.show());
    return this.queue;
  }

  // Prompts

  prompt(what) {
    if (this.shown < 0) return;
    const { subject, shown: frame } = this;
    if (what.absent && subject.id === null) return say("Choose an object first", true);
    this.undone = [];
    this.hasDeleted = false;
    const body = { frame, category: this.classes.chosen, ...what };
    this.change(() => this.send(body, subject));
  }

  async send(body, subject) {
    const start = performance.now();
    const data = await busy("Looking at the frame", () => call("POST", "/prompts", { ...body, object_id: subject.id }));
    subject.id = data.object_id;
    this.sent.push({ subject, body });
    this.take(data);
    await this.takeMasks(data);
    const seen = data.masks.find((one) => one.id === subject.id);
    get("figures").textContent = `${(performance.now() - start).toFixed(0)} ms · ${seen.mask.area} pixels · predicted IoU ${seen.score.toFixed(2)}`;
    say(`Saved ${labelOf(this.objects.find((one) => one.id === subject.id))} in frame ${body.frame}`);
  }

  undo() {
    if (this.hasDeleted) {
      this.hasDeleted = false;
      return say("What was deleted does not come back; Undo again takes back the last prompt", true);
    }
    this.change(async () => {
      const data = await call("POST", "/undo");
      const last = this.sent.pop();
      // Another tab may have been the last one.
      const isOurs = last && last.subject.id === data.object_id && last.body.frame === data.frame;
      if (isOurs) this.undone.push(last);
      else [this.sent, this.undone] = [[], []];
      const isLeft = data.objects.some((one) => one.id === data.object_id);
      this.subject = isOurs ? last.subject : { id: data.object_id };
      this.subject.id = isLeft ? data.object_id : null;
      this.take(data);
      this.seek(data.frame);
      await this.takeMasks(data);
      say(`Undone in frame ${data.frame}`);
    });
  }

  redo() {
    const next = this.undone.pop();
    if (!next) return;
    this.subject = next.subject;
    this.seek(next.body.frame);
    this.change(() => this.send(next.body, next.subject));
  }

  // Tracking

  async track(direction) {
    if (this.tracking) return;
    this.tracking = new AbortController();
    await this.queue;
    if (!this.objects.length || this.tracking.signal.aborted) {
      if (!this.objects.length) say("Click an object first", true);
      this.tracking = null;
      return this.show();
    }
    this.isPlaying = false;
    this.follows = true;
    say(direction === "forward" ? "Tracking; Esc ends it" : "Tracking backward; Esc ends it");
    this.show();
    const start = performance.now();
    let [count, last] = [0, this.shown];
    try {
      await stream("/track", { start: this.shown, direction }, this.tracking.signal, (known) => {
        count += 1;
        last = known.frame;
        get("figures").textContent = `${((1000 * count) / (performance.now() - start)).toFixed(1)} frames per second`;
        this.mark(known);
        this.follow(known);
      });
      say(`${count} frames tracked`);
    } catch (error) {
      if (error.name === "AbortError") say(`${count} frames tracked, then ended`);
      else fail(error);
    }
    this.tracking = null;
    if (this.follows) this.seek(last);
    this.change(async () => {
      const project = await call("GET", "");
      this.take(project);
      if (project.failure) say(project.failure, true);
      this.takeMasks(await call("GET", `/frames/${this.shown}/masks`));
    });
  }

  stop() {
    this.tracking?.abort();
  }

  mark({ frame, masks }) {
    for (const { id, kind, is_there: isThere } of masks) {
      const one = this.objects.find((other) => other.id === id);
      const letter = isThere ? kind[0] : kind[0].toUpperCase();
      if (one) one.timeline = one.timeline.slice(0, frame) + letter + one.timeline.slice(frame + 1);
    }
    this.showWhere();
  }

  // Show a frame that was tracked, unless another one is on its way.
  async follow(known) {
    if (!this.follows || this.isFollowing) return;
    this.isFollowing = true;
    try {
      const bitmap = await picture(`/frames/${known.frame}`);
      if (!this.follows) return;
      this.frame = known.frame;
      await this.put(bitmap, known);
    } catch (error) {
      fail(error);
    } finally {
      this.isFollowing = false;
    }
  }

  nextLook() {
    if (!this.looks.length) return say("No frame stands out");
    this.goToLook((this.look + 1) % this.looks.length);
  }

  goToLook(number) {
    this.look = number;
    const { frame, object_id: id, reason } = this.looks[number];
    this.choose(this.objects.find((one) => one.id === id));
    this.seek(frame);
    say(`${labelOf(this.chosen)}: ${reason} in frame ${frame}`);
  }

  // Objects

  // None for a new one.
  choose(one) {
    this.subject = { id: one?.id ?? null };
    if (one) this.classes.chosen = one.category;
    this.show();
    get("view").focus();
  }

  classChanged() {
    const { chosen, classes } = this;
    if (chosen && chosen.category !== classes.chosen) this.describe(chosen, { category: classes.chosen });
    this.show();
  }

  describe(one, about) {
    const { category, name, visible } = one;
    this.change(async () => {
      this.take(await call("PUT", `/objects/${one.id}`, { category, name, visible, ...about }));
      say(`Saved ${labelOf(one)}`);
    });
  }

  remove(one) {
    if (!confirm(`Delete ${labelOf(one)} in all frames? It does not come back.`)) return;
    this.change(async () => {
      this.take(await call("DELETE", `/objects/${one.id}`));
      this.sent = this.sent.filter(({ subject }) => subject.id !== one.id);
      [this.undone, this.hasDeleted] = [[], true];
      this.masks.delete(one.id);
      this.prompts = this.prompts.filter(({ id }) => id !== one.id);
      say(`Deleted ${labelOf(one)}`);
    });
  }

  removeChosen() {
    if (this.chosen) this.remove(this.chosen);
  }

  async export() {
    try {
      const { path } = await busy("Exporting", () => call("POST", "/export", { form: get("form").value }));
      say(`Written: ${path}`);
    } catch (error) {
      fail(error);
    }
  }

  // What is seen

  drawMasks(context, view, isHidden) {
    if (isHidden) return;
    for (const one of this.objects) {
      const seen = this.masks.get(one.id);
      if (seen && one.visible) seen.mask.draw(context, view, colourOf(one.id), one.id === this.subject.id ? 120 : 80);
    }
  }

  showWhere() {
    const { frame, objects, project, subject } = this;
    get("frame").textContent = `${frame}/${project.frames - 1}`;
    get("back").disabled = frame <= 0;
    get("forward").disabled = frame >= project.frames - 1;
    const rows = objects.map(({ id, timeline, ...one }) => ({ id, timeline, label: labelOf({ id, ...one }) }));
    this.timeline.show({ count: project.frames, frame, objects: rows, chosen: subject.id });
  }

  show() {
    const { objects, subject } = this;
    this.showWhere();
    get("where").textContent = this.project.name;
    get("undo").disabled = !this.canUndo;
    get("redo").disabled = !this.undone.length;
    get("fresh").disabled = subject.id === null;
    get("absent").disabled = subject.id === null;
    get("play").setAttribute("aria-pressed", String(this.isPlaying));
    for (const id of ["track", "track-back"]) get(id).disabled = Boolean(this.tracking) || !objects.length;
    get("stop").disabled = !this.tracking;
    this.stage.showPrompts(this.prompts.filter(({ id }) => subject.id === null || id === subject.id));
    this.classes.show();
    showObjects(objects, subject.id, {
      about: (one) => this.about(one),
      edit: (one) => this.choose(one),
      change: (one, about) => this.describe(one, about),
      remove: (one) => this.remove(one),
    });
    this.showLooks();
    this.stage.redraw();
  }

  about(one) {
    const seen = this.masks.get(one.id);
    const state = !seen ? "not known here" : seen.is_there ? `${seen.kind}, score ${seen.score.toFixed(2)}` : `${seen.kind}, absent`;
    return `${one.category || "no class"} · ${state}`;
  }

  showLooks() {
    get("look").disabled = !this.looks.length;
    get("looks").replaceChildren(...this.looks.slice(0, MOST_LOOKS).map(({ frame, object_id: id, reason }, i) => {
      const label = labelOf(this.objects.find((one) => one.id === id));
      const button = element("button", { textContent: `${frame} · ${label}: ${reason}`, type: "button" });
      button.addEventListener("click", () => this.goToLook(i));
      return element("li", {}, button);
    }));
  }
}

// A picture for the stage.
class Still {
  constructor(bitmap) {
    this.bitmap = bitmap;
    this.width = bitmap.width;
    this.height = bitmap.height;
  }

  draw(context, view, ratio) {
    context.imageSmoothingEnabled = view.scale * ratio < 2; // sharp pixels when they are large
    context.imageSmoothingQuality = "high";
    const [x, y] = view.toScreen(0, 0);
    context.drawImage(this.bitmap, x, y, this.width * view.scale, this.height * view.scale);
  }

  close() {
    this.bitmap.close();
  }
}
