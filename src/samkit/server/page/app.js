// The page: wires the server, the picture, the draft and the keys together.

import { ApiError, call } from "./api.js";
import { Draft } from "./draft.js";
import { Mask, colourOf } from "./masks.js";
import { showClasses, showObjects } from "./lists.js";
import { Stage } from "./stage.js";

const DRAFT_COLOUR = [213, 94, 0];
const get = (id) => document.getElementById(id);

const project = { images: [], classes: [], exports: [] };
let index = -1; // of the image in view
let objects = []; // accepted, each with its Mask
let found = []; // of everything mode, while it is picked from
let current = null; // Mask of the draft
let hover = null; // Mask of what is under the pointer
let category = "";
let opening = 0; // counts openings, so that late answers for another image are dropped

const draft = new Draft(draftChanged);
const stage = new Stage(get("view"), {
  click: (x, y, label) => pickOrClick(x, y, label),
  box: (box) => draft.add({ box }),
  scribble: (points, label) => draft.add({ points, labels: points.map(() => label) }),
  stroke: (stroke) => draft.paint(stroke),
  hover: (x, y) => previewAt(x, y),
  leave: () => { hover = null; stage.redraw(); },
  draw: drawMasks,
});

// What is said below

function say(text, isError = false) {
  get("status").textContent = text;
  get("status").classList.toggle("error", isError);
}

function fail(error) {
  if (error.name === "AbortError") return;
  say(error instanceof ApiError ? error.message : String(error), true);
  if (!(error instanceof ApiError)) console.error(error);
}

// Something that takes a while, with the time that it took so far.
async function busy(text, work) {
  const start = performance.now();
  const show = () => {
    get("busy").hidden = false;
    get("busy-text").textContent = `${text} ${((performance.now() - start) / 1000).toFixed(1)} s`;
  };
  const timer = setInterval(show, 100);
  try {
    return await work();
  } finally {
    clearInterval(timer);
    get("busy").hidden = true;
  }
}

// Images

async function open(number) {
  if (number < 0 || number >= project.images.length || number === index) return;
  keepDraft();
  const own = ++opening;
  index = number;
  [objects, found, current, hover] = [[], [], null, null];
  // Nothing of the image before can be clicked or accepted any more.
  const saved = sessionStorage.getItem(draftKey());
  stage.close();
  draft.reset();
  if (saved) sessionStorage.setItem(draftKey(), saved);
  delete document.body.dataset.ready;
  sessionStorage.setItem("samkit-image", project.images[number].name);
  say("");
  showWhere();
  try {
    const info = await busy("Opening", () => call("GET", `/images/${number}`));
    if (own !== opening) return;
    const masks = await Promise.all(info.objects.map((one) => Mask.from(one.mask)));
    if (own !== opening) return;
    objects = info.objects.map((one, i) => ({ ...one, mask: masks[i] }));
    stage.open(number, info);
    restoreDraft(saved);
    showAll();
    await busy("Looking at the image", () => call("POST", `/images/${number}/ready`));
    if (own !== opening) return;
    document.body.dataset.ready = String(number);
    setTimeout(() => { // the next one, once this one has been answered
      if (own === opening && number + 1 < project.images.length) {
        call("POST", `/images/${number + 1}/ready`).catch(() => {});
      }
    }, 1000);
  } catch (error) {
    if (own === opening) fail(error);
  }
}

function draftKey() {
  return `samkit-draft-${project.images[index]?.name}`;
}

function keepDraft() {
  if (index < 0) return;
  if (draft.isEmpty) sessionStorage.removeItem(draftKey());
  else sessionStorage.setItem(draftKey(), JSON.stringify({ ...draft.toJSON(), category }));
}

function restoreDraft(saved) {
  if (!saved) return;
  const values = JSON.parse(saved);
  if (values.id !== null && !objects.some((one) => one.id === values.id)) return;
  ({ category } = values);
  delete values.category;
  draft.restore(values);
}

// The draft

let asking = null; // the request for the draft's mask
function draftChanged() {
  if (index < 0) return;
  keepDraft();
  hover = null;
  showAll();
  asking?.abort();
  if (draft.isEmpty) {
    get("figures").textContent = "";
    current = null;
    asking = null;
    stage.redraw();
    return;
  }
  asking = new AbortController();
  askForMask(draft.request(), asking, opening);
}

async function askForMask(request, control, own) {
  const start = performance.now();
  try {
    const data = await call("POST", maskPath(), request, control.signal);
    const mask = await Mask.from(data);
    if (control.signal.aborted || own !== opening) return;
    current = mask;
    stage.redraw();
    const took = performance.now() - start;
    get("figures").textContent =
      `${took.toFixed(0)} ms · ${mask.area} pixels · predicted IoU ${data.score.toFixed(2)}`;
    (window.samkitTimes ??= []).push(took);
  } catch (error) {
    if (own === opening && !control.signal.aborted) fail(error);
  }
}

function maskPath() {
  return `/images/${index}/mask${draft.id === null ? "" : `?object_id=${draft.id}`}`;
}

function pickOrClick(x, y, label) {
  if (found.length && draft.state.steps.length === 0) {
    const under = found
      .map((mask, i) => [mask, i])
      .filter(([mask]) => mask.has(x, y))
      .sort(([a], [b]) => a.area - b.area);
    if (under.length) draft.push({ found: under[0][1], steps: [], candidate: null });
    else say("Nothing was found there; Esc ends picking");
    return;
  }
  draft.add({ points: [[x, y]], labels: [label] });
}

function otherCandidate() {
  const { steps, candidate } = draft.state;
  if (steps.length) draft.push({ candidate: candidate === null ? 0 : (candidate + 1) % 3 });
}

// One preview at a time: when it comes, the place where the pointer is then is asked for.
let previewing = false;
let wanted = null;
async function previewAt(x, y) {
  wanted = [x, y];
  if (previewing || document.body.dataset.ready !== String(index)) return;
  previewing = true;
  const own = opening;
  while (wanted && own === opening) {
    const [px, py] = wanted;
    wanted = null;
    if (found.length || !draft.isEmpty) break;
    try {
      const step = { points: [[px, py]], labels: [1] };
      const data = await call("POST", `/images/${index}/mask`, draft.request({ steps: [step] }));
      const mask = await Mask.from(data);
      if (own !== opening || !draft.isEmpty) break;
      hover = mask;
      stage.redraw();
    } catch (error) {
      if (!["busy", "gone"].includes(error.code)) fail(error);
      break;
    }
  }
  previewing = false;
}

let accepting = false;
async function accept() {
  if (draft.isEmpty || accepting) return;
  accepting = true;
  const [own, id] = [opening, draft.id];
  const body = draft.request({ category, name: draft.name, visible: draft.visible });
  const path = `/images/${index}/objects`;
  try {
    const one = await (id === null ? call("POST", path, body) : call("PUT", `${path}/${id}`, body));
    const mask = await Mask.from(one.mask);
    if (own !== opening) return;
    const kept = { ...one, mask };
    objects = id === null ? [...objects, kept] : objects.map((other) => (other.id === id ? kept : other));
    if (project.images[index].state === "open") project.images[index].state = "begun";
    draft.reset();
    say(`Saved object ${one.id}`);
  } catch (error) {
    fail(error);
  } finally {
    accepting = false;
    showAll();
  }
}

function clear() {
  if (!draft.isEmpty || draft.id !== null) draft.reset();
  else found = [];
  hover = null;
  showAll();
}

async function findEverything() {
  const own = opening;
  try {
    const { masks } = await busy("Finding everything", () => call("POST", `/images/${index}/everything`));
    const all = await Promise.all(masks.map((data) => Mask.from(data)));
    if (own !== opening) return;
    draft.reset();
    found = all;
    say(`${all.length} found: click one, then Enter; Esc ends picking`);
    showAll();
  } catch (error) {
    fail(error);
  }
}

// Objects

function edit(one) {
  const { steps, candidate, strokes } = one;
  ({ category } = one);
  found = [];
  draft.reset({ steps, candidate, found: one.found, strokes }, one.id, one);
  draftChanged();
  get("view").focus();
}

async function change(one, about) {
  const { steps, candidate, strokes, name, visible } = one;
  const body = { steps, candidate, strokes, name, visible, found: one.found, category: one.category, ...about };
  const own = opening;
  try {
    const kept = await call("PUT", `/images/${index}/objects/${one.id}`, body);
    if (own !== opening) return;
    Object.assign(one, about);
    if (draft.id === one.id) Object.assign(draft, { name: one.name, visible: one.visible });
    say(`Saved object ${kept.id}`);
  } catch (error) {
    fail(error);
  }
  showAll();
}

async function remove(one) {
  const own = opening;
  try {
    await call("DELETE", `/images/${index}/objects/${one.id}`);
    if (own !== opening) return;
    objects = objects.filter((other) => other.id !== one.id);
    if (draft.id === one.id) draft.reset();
    say(`Deleted object ${one.id}`);
  } catch (error) {
    fail(error);
  }
  showAll();
}

async function setDone() {
  const own = opening;
  const done = project.images[index].state !== "done";
  try {
    const { state } = await call("PUT", `/images/${index}/done`, { done });
    if (own !== opening) return;
    project.images[index].state = state;
    say(done ? "This image is done" : "This image is open again");
  } catch (error) {
    fail(error);
  }
  showAll();
}

async function exportAll() {
  try {
    const { path } = await busy("Exporting", () => call("POST", "/export", { form: get("form").value }));
    say(`Written: ${path}`);
  } catch (error) {
    fail(error);
  }
}

// What is seen

function drawMasks(context, view, isHidden) {
  if (isHidden) return;
  for (const one of objects) {
    if (one.visible && one.id !== draft.id) one.mask.draw(context, view, colourOf(one.id));
  }
  if (draft.isEmpty) found.forEach((mask, i) => mask.draw(context, view, colourOf(i), 70));
  if (current) current.draw(context, view, DRAFT_COLOUR, 110);
  else if (hover) hover.draw(context, view, DRAFT_COLOUR, 60);
}

function showWhere() {
  const image = project.images[index];
  get("where").textContent = image ? `${index + 1}/${project.images.length} ${image.name} (${image.state})` : "";
  get("where").title = image?.name ?? "";
  get("previous").disabled = index <= 0;
  get("next").disabled = index >= project.images.length - 1;
  get("done").setAttribute("aria-pressed", String(image?.state === "done"));
}

function showAll() {
  showWhere();
  get("undo").disabled = !draft.canUndo;
  get("redo").disabled = !draft.canRedo;
  get("clear").disabled = draft.isEmpty && draft.id === null && !found.length;
  get("accept").disabled = draft.isEmpty;
  get("candidate").disabled = !draft.state.steps.length;
  stage.showPrompts(draft.state.steps);
  showClasses(get("classes"), project.classes, category, choose);
  showObjects(get("objects"), objects, draft.id, { edit, change, remove });
  stage.redraw();
}

function choose(name) {
  category = category === name ? "" : name;
  showAll();
}

function setTool(name) {
  stage.tool = name;
  for (const button of document.querySelectorAll("[data-tool]")) {
    button.setAttribute("aria-checked", String(button.dataset.tool === name));
  }
  stage.redraw();
}

function toggleTheme() {
  const isDark = matchMedia("(prefers-color-scheme: dark)").matches;
  const now = document.documentElement.dataset.theme ?? (isDark ? "dark" : "light");
  document.documentElement.dataset.theme = now === "dark" ? "light" : "dark";
  localStorage.setItem("samkit-theme", document.documentElement.dataset.theme);
}

// Keys and buttons

const KEYS = {
  "?": () => get("keys").showModal(), c: () => setTool("click"), s: () => setTool("scribble"),
  p: () => setTool("brush"), e: () => setTool("eraser"), a: findEverything, f: setDone,
  "[": () => open(index - 1), "]": () => open(index + 1), PageUp: () => open(index - 1),
  PageDown: () => open(index + 1), Escape: clear, Enter: accept, "0": () => stage.fit(),
  "+": () => stage.zoom(1.5), "=": () => stage.zoom(1.5), "-": () => stage.zoom(1 / 1.5),
  Delete: () => { const one = objects.find((other) => other.id === draft.id); if (one) remove(one); },
};

addEventListener("keydown", (event) => {
  const inText = event.target.matches("input:not([type=range]), select, textarea");
  const onButton = event.target.matches("button");
  if (get("keys").open || inText) return;
  if (event.ctrlKey || event.metaKey) {
    const key = event.key.toLowerCase();
    if (key === "z" || key === "y") {
      event.preventDefault();
      if (key === "y" || event.shiftKey) draft.redo();
      else draft.undo();
    }
    return;
  }
  if (event.altKey || (onButton && ["Enter", " "].includes(event.key))) return;
  if (event.target === get("view")) {
    if (event.key === "Tab" && !event.shiftKey && draft.state.steps.length) {
      event.preventDefault();
      return otherCandidate();
    }
    if (stage.key(event)) return;
  }
  if (/^[1-9]$/.test(event.key)) {
    const name = project.classes[Number(event.key) - 1];
    if (name !== undefined) choose(name);
    return;
  }
  const action = KEYS[event.key] ?? (event.key.length === 1 ? KEYS[event.key.toLowerCase()] : null);
  if (action) {
    event.preventDefault();
    action();
  } else if (event.key.toLowerCase() === "h" && !event.repeat) {
    stage.hideMasks(true);
  }
});

addEventListener("keyup", (event) => {
  if (event.key.toLowerCase() === "h") stage.hideMasks(false);
});

for (const [id, action] of Object.entries({
  previous: () => open(index - 1), next: () => open(index + 1), undo: () => draft.undo(),
  redo: () => draft.redo(), candidate: otherCandidate, clear, accept, everything: findEverything,
  done: setDone, export: exportAll, theme: toggleTheme, help: () => get("keys").showModal(),
})) {
  get(id).addEventListener("click", (event) => {
    if (event.detail) get("view").focus(); // keys go on to mean the image after a click
    action();
  });
}
for (const button of document.querySelectorAll("[data-tool]")) {
  button.addEventListener("click", () => setTool(button.dataset.tool));
}
get("radius").addEventListener("input", () => { stage.radius = Number(get("radius").value); });
get("new-class").addEventListener("submit", async (event) => {
  event.preventDefault();
  const name = get("class-name").value.trim();
  if (!name) return;
  try {
    ({ classes: project.classes } = await call("POST", "/classes", { name }));
    get("class-name").value = "";
    category = name;
  } catch (error) {
    fail(error);
  }
  showAll();
});

async function begin() {
  const theme = localStorage.getItem("samkit-theme");
  if (theme) document.documentElement.dataset.theme = theme;
  setTool("click");
  try {
    Object.assign(project, await call("GET", ""));
  } catch (error) {
    return fail(error);
  }
  document.title = `samkit · ${project.model}`;
  get("form").replaceChildren(...project.exports.map((name) => new Option(name)));
  const last = project.images.findIndex((one) => one.name === sessionStorage.getItem("samkit-image"));
  const left = project.images.findIndex((one) => one.state !== "done");
  await open(last >= 0 ? last : Math.max(0, left));
  get("view").focus();
}

begin();
