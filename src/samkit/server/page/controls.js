// The buttons above the image and the keys of the whole page.

import { get, showKeys, toggleTheme } from "./ui.js";

export function setTool(stage, name) {
  stage.setTool(name);
  for (const button of document.querySelectorAll("[data-tool]")) {
    button.setAttribute("aria-pressed", String(button.dataset.tool === name));
  }
  stage.canvas.focus();
}

// Buttons by their ids.
export function listenToButtons(stage, actions) {
  const all = { theme: toggleTheme, help: showKeys, ...actions };
  for (const [id, action] of Object.entries(all)) {
    get(id).addEventListener("click", (event) => {
      if (event.detail) stage.canvas.focus(); // keys go on to mean the image after a click
      action();
    });
  }
  for (const button of document.querySelectorAll("[data-tool]")) {
    button.addEventListener("click", () => setTool(stage, button.dataset.tool));
  }
  get("radius").addEventListener("input", () => { stage.radius = Number(get("radius").value); });
}

// Keys by their names; further `undo`, `redo`, and `tab` in the image: whether that meant something.
export function listenToKeys(stage, actions, { undo, redo, tab }) {
  const all = {
    "?": showKeys, c: () => setTool(stage, "click"), s: () => setTool(stage, "scribble"),
    p: () => setTool(stage, "brush"), e: () => setTool(stage, "eraser"), "0": () => stage.fit(),
    "+": () => stage.zoom(1.5), "=": () => stage.zoom(1.5), "-": () => stage.zoom(1 / 1.5), ...actions,
  };
  addEventListener("keydown", (event) => {
    const inText = event.target.matches("input:not([type=range]), select, textarea");
    const onButton = event.target.matches("button");
    if (get("keys").open || inText) return;
    if (event.ctrlKey || event.metaKey) {
      const key = event.key.toLowerCase();
      if (key === "z" || key === "y") {
        event.preventDefault();
        if (key === "y" || event.shiftKey) redo();
        else undo();
      }
      return;
    }
    if (event.altKey || (onButton && ["Enter", " "].includes(event.key))) return;
    if (event.target === stage.canvas) {
      if (event.key === "Tab" && !event.shiftKey && tab()) return event.preventDefault();
      if (stage.key(event)) return;
    }
    const action = all[event.key] ?? (event.key.length === 1 ? all[event.key.toLowerCase()] : null);
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
}
