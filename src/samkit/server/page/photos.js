// Photographs: one is in view, and its objects are made one after the other.

import { call } from "./api.js";
import { Classes } from "./classes.js";
import { listenToButtons, listenToKeys, setTool } from "./controls.js";
import { Draft } from "./draft.js";
import { Mask, colourOf } from "./masks.js";
import { showObjects } from "./objects.js";
import { Preview } from "./preview.js";
import { Stage } from "./stage.js";
import { Tiles } from "./tiles.js";
import { busy, element, fail, get, say } from "./ui.js";

const DRAFT_COLOUR = [213, 94, 0];

export class Photos {
  constructor(project) {
    this.project = project;
    this.index = -1; // of the image in view
    this.opening = 0; // counts openings, so that late answers for another image are dropped
    this.objects = []; // accepted, each with its Mask
    this.found = []; // of everything mode, while it is picked from
    this.current = null; // Mask of the draft
    this.asking = null; // the request for it
    this.isAccepting = false;
    this.deleted = []; // objects, while that was the last that was done
    this.draft = new Draft(() => this.draftChanged());
    this.classes = new Classes(project.classes, () => this.show());
    this.stage = new Stage(get("view"), {
      click: (x, y, label) => this.pickOrClick(x, y, label),
      box: (box) => this.draft.add({ box }),
      scribble: (points, label) => this.draft.add({ points, labels: points.map(() => label) }),
      stroke: (stroke) => this.draft.paint(stroke),
      hover: (x, y) => this.preview.at(x, y),
      leave: () => this.preview.clear(),
      draw: (context, view, isHidden) => this.drawMasks(context, view, isHidden),
    });
    this.preview = new Preview((x, y) => this.askForPreview(x, y), () => this.stage.redraw());
  }

  async begin() {
    const { project } = this;
    setTool(this.stage, "click");
    this.listen();
    get("form").replaceChildren(...project.exports.map((name) => new Option(name)));
    const last = project.images.findIndex((one) => one.name === sessionStorage.getItem(this.imageKey));
    const left = project.images.findIndex((one) => one.state !== "done");
    await this.open(last >= 0 ? last : Math.max(0, left));
    get("view").focus();
  }

  listen() {
    const { draft } = this;
    const [undo, redo] = [() => this.undo(), () => draft.redo()];
    const [clear, accept, candidate] = [() => this.clear(), () => this.accept(), () => this.otherCandidate()];
    const [everything, done, save] = [() => this.findEverything(), () => this.setDone(), () => this.export()];
    const [previous, next] = [() => this.open(this.index - 1), () => this.open(this.index + 1)];
    const buttons = { previous, next, undo, redo, candidate, clear, accept, everything, done, export: save };
    listenToButtons(this.stage, buttons);
    listenToKeys(this.stage, {
      ...this.classes.keys, a: everything, f: done, "[": previous, "]": next, PageUp: previous,
      PageDown: next, Escape: clear, Enter: accept, Delete: () => this.removeEdited(),
    }, { undo, redo, tab: candidate });
  }

  get image() {
    return this.project.images[this.index];
  }

  get path() {
    return `/images/${this.index}`;
  }

  // Images

  async open(index) {
    const { images } = this.project;
    if (index < 0 || index >= images.length || index === this.index) return;
    this.keepDraft();
    const own = ++this.opening;
    this.index = index;
    [this.objects, this.found, this.current] = [[], [], null];
    // Nothing of the image before can be clicked or accepted any more.
    const saved = sessionStorage.getItem(this.draftKey);
    this.stage.close();
    this.draft.reset();
    if (saved) sessionStorage.setItem(this.draftKey, saved);
    delete document.body.dataset.ready;
    sessionStorage.setItem(this.imageKey, this.image.name);
    this.showWhere();
    try {
      const info = await busy("Opening", () => call("GET", this.path));
      if (own !== this.opening) return;
      const masks = await Promise.all(info.objects.map((one) => Mask.from(one.mask)));
      if (own !== this.opening) return;
      this.objects = info.objects.map((one, i) => ({ ...one, mask: masks[i] }));
      this.stage.open(new Tiles(`${this.path}/tiles`, info, () => this.stage.redraw()));
      this.restoreDraft(saved);
      this.show();
      await busy("Looking at the image", () => call("POST", `${this.path}/ready`));
      if (own !== this.opening) return;
      document.body.dataset.ready = String(index);
      say(`Ready: ${this.image.name}`);
      setTimeout(() => { // the next one, once this one has been answered
        if (own === this.opening && index + 1 < images.length) {
          call("POST", `/images/${index + 1}/ready`).catch(() => {});
        }
      }, 1000);
    } catch (error) {
      if (own === this.opening) fail(error);
    }
  }

  async setDone() {
    const { image, opening } = this;
    const done = image.state !== "done";
    try {
      ({ state: image.state } = await call("PUT", `${this.path}/done`, { done }));
      if (opening === this.opening) say(done ? "This image is done" : "This image is open again");
    } catch (error) {
      fail(error);
    }
    this.show();
  }

  async export() {
    try {
      const { path } = await busy("Exporting", () => call("POST", "/export", { form: get("form").value }));
      say(`Written: ${path}`);
    } catch (error) {
      fail(error);
    }
  }

  // The draft

  get draftKey() {
    return `samkit-draft-${this.project.folder}-${this.image?.name}`;
  }

  get imageKey() {
    return `samkit-image-${this.project.folder}`;
  }

  keepDraft() {
    if (this.index < 0) return;
    const { draft, draftKey } = this;
    if (draft.isEmpty) sessionStorage.removeItem(draftKey);
    else sessionStorage.setItem(draftKey, JSON.stringify({ ...draft.toJSON(), category: this.classes.chosen }));
  }

  restoreDraft(saved) {
    if (!saved) return;
    const { category, ...values } = JSON.parse(saved);
    if (values.id !== null && !this.objects.some((one) => one.id === values.id)) return;
    this.classes.chosen = category;
    this.draft.restore(values);
  }

  draftChanged() {
    if (this.index < 0) return;
    say("");
    this.deleted = [];
    this.keepDraft();
    this.preview.clear();
    this.show();
    this.asking?.abort();
    if (this.draft.isEmpty) {
      get("figures").textContent = "";
      this.current = null;
      this.asking = null;
      return;
    }
    this.asking = new AbortController();
    this.askForMask(this.draft.request(), this.asking.signal);
  }

  async askForMask(request, signal) {
    const start = performance.now();
    const query = this.draft.id === null ? "" : `?object_id=${this.draft.id}`;
    try {
      const data = await call("POST", `${this.path}/mask${query}`, request, signal);
      const mask = await Mask.from(data);
      if (signal.aborted) return;
      this.current = mask;
      this.stage.redraw();
      const took = performance.now() - start;
      get("figures").textContent =
        `${took.toFixed(0)} ms · ${mask.area} pixels · predicted IoU ${data.score.toFixed(2)}`;
    } catch (error) {
      if (!signal.aborted) fail(error);
    }
  }

  async askForPreview(x, y) {
    const isReady = document.body.dataset.ready === String(this.index);
    if (!isReady || this.found.length || !this.draft.isEmpty) return null;
    const step = { points: [[x, y]], labels: [1] };
    return call("POST", `${this.path}/mask`, this.draft.request({ steps: [step] }));
  }

  pickOrClick(x, y, label) {
    const { draft, found } = this;
    if (!found.length || draft.state.steps.length) return draft.add({ points: [[x, y]], labels: [label] });
    const under = found
      .map((mask, i) => [mask, i])
      .filter(([mask]) => mask.has(x, y))
      .sort(([a], [b]) => a.area - b.area);
    if (under.length) draft.push({ found: under[0][1], steps: [], candidate: null });
    else say("Nothing was found there; Esc ends picking");
  }

  // Whether there is one.
  otherCandidate() {
    const { steps, candidate } = this.draft.state;
    if (steps.length) this.draft.push({ candidate: candidate === null ? 0 : (candidate + 1) % 3 });
    return steps.length > 0;
  }

  async accept() {
    if (this.draft.isEmpty || this.isAccepting) return;
    this.isAccepting = true;
    const { draft, opening, image } = this;
    const { id, name, visible } = draft;
    const body = draft.request({ category: this.classes.chosen, name, visible });
    const path = `${this.path}/objects`;
    try {
      const one = await (id === null ? call("POST", path, body) : call("PUT", `${path}/${id}`, body));
      const kept = { ...one, mask: await Mask.from(one.mask) };
      if (image.state === "open") image.state = "begun";
      if (opening !== this.opening) return;
      this.objects = id === null
        ? [...this.objects, kept] : this.objects.map((other) => (other.id === id ? kept : other));
      draft.reset();
      say(`Saved object ${one.id}`);
    } catch (error) {
      fail(error);
    } finally {
      this.isAccepting = false;
      this.show();
    }
  }

  undo() {
    if (this.deleted.length) this.bringBack();
    else this.draft.undo();
  }

  clear() {
    say("");
    if (!this.draft.isEmpty || this.draft.id !== null) this.draft.reset();
    else this.found = [];
    this.preview.clear();
    this.show();
  }

  async findEverything() {
    const { opening } = this;
    try {
      const { masks } = await busy("Finding everything", () => call("POST", `${this.path}/everything`));
      const all = await Promise.all(masks.map((data) => Mask.from(data)));
      if (opening !== this.opening) return;
      this.draft.reset();
      this.found = all;
      say(`${all.length} found: click one, then Enter; Esc ends picking`);
      this.show();
    } catch (error) {
      fail(error);
    }
  }

  // Objects

  edit(one) {
    const { steps, candidate, found, strokes } = one;
    this.classes.chosen = one.category;
    this.found = [];
    this.draft.reset({ steps, candidate, found, strokes }, one.id, one);
    get("view").focus();
  }

  async change(one, about) {
    const { draft, opening } = this;
    try {
      const body = { ...asRequest(one), ...about };
      const kept = await call("PUT", `${this.path}/objects/${one.id}`, body);
      if (opening !== this.opening) return;
      Object.assign(one, about);
      if (draft.id === one.id) Object.assign(draft, { name: one.name, visible: one.visible });
      say(`Saved object ${kept.id}`);
    } catch (error) {
      fail(error);
    }
    this.show();
  }

  async remove(one) {
    const { draft, opening } = this;
    get("view").focus(); // the button that was pressed goes away
    try {
      await call("DELETE", `${this.path}/objects/${one.id}`);
      if (opening !== this.opening) return;
      this.objects = this.objects.filter((other) => other.id !== one.id);
      const before = this.deleted;
      if (draft.id === one.id) draft.reset();
      this.deleted = [...before, one];
      say(`Deleted object ${one.id}; Undo brings it back`);
    } catch (error) {
      fail(error);
    }
    this.show();
  }

  // The server makes its mask again of what it was made of.
  async bringBack() {
    const [one, { opening, path }] = [this.deleted.pop(), this];
    try {
      if (one.found !== null) await busy("Finding everything", () => call("POST", `${path}/everything`));
      const kept = await call("POST", `${path}/objects`, asRequest(one));
      if (opening !== this.opening) return;
      this.objects = [...this.objects, { ...kept, mask: await Mask.from(kept.mask) }];
      if (kept.mask.area === one.mask.area) say(`Object ${one.id} is back as object ${kept.id}`);
      else say(`Object ${kept.id} is back with another mask: ${this.project.model} made it anew`, true);
    } catch (error) {
      if (opening === this.opening) this.deleted.push(one);
      fail(error);
    }
    this.show();
  }

  removeEdited() {
    const one = this.objects.find((other) => other.id === this.draft.id);
    if (one) this.remove(one);
  }

  // What is seen

  drawMasks(context, view, isHidden) {
    if (isHidden) return;
    const { draft, found, current, preview } = this;
    for (const one of this.objects) {
      if (one.visible && one.id !== draft.id) one.mask.draw(context, view, colourOf(one.id));
    }
    if (draft.isEmpty) found.forEach((mask, i) => mask.draw(context, view, colourOf(i), 70));
    if (current) current.draw(context, view, DRAFT_COLOUR, 110);
    else preview.mask?.draw(context, view, DRAFT_COLOUR, 60);
  }

  showWhere() {
    const { index, image } = this;
    const count = this.project.images.length;
    const name = element("span", { textContent: image?.name ?? "" });
    get("where").replaceChildren(`${index + 1}/${count} `, name, ` (${image?.state})`);
    get("where").title = image?.name ?? "";
    get("previous").disabled = index <= 0;
    get("next").disabled = index >= count - 1;
    get("done").setAttribute("aria-pressed", String(image?.state === "done"));
  }

  show() {
    const { draft, stage } = this;
    this.showWhere();
    get("undo").disabled = !draft.canUndo && !this.deleted.length;
    get("redo").disabled = !draft.canRedo;
    get("clear").disabled = draft.isEmpty && draft.id === null && !this.found.length;
    get("accept").disabled = draft.isEmpty;
    get("candidate").disabled = !draft.state.steps.length;
    stage.showPrompts(draft.state.steps);
    this.classes.show();
    showObjects(this.objects, draft.id, {
      about: (one) => `${one.category || "no class"}, ${one.mask.area} pixels`,
      edit: (one) => this.edit(one),
      change: (one, about) => this.change(one, about),
      remove: (one) => this.remove(one),
    });
    stage.redraw();
  }
}

// What the server makes an object of.
function asRequest({ steps, candidate, found, strokes, category, name, visible }) {
  return { steps, candidate, found, strokes, category, name, visible };
}
