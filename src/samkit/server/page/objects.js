// The list of objects beside the image.

import { colourOf } from "./masks.js";
import { element, get } from "./ui.js";

export function labelOf(one) {
  return `${one.name || one.category || "object"} ${one.id}`;
}

// A list that is being typed into is left alone until that has ended.
export function showObjects(objects, edited, actions) {
  const list = get("objects");
  if (list.contains(document.activeElement) && document.activeElement.matches("input")) return;
  const focused = list.contains(document.activeElement) ? document.activeElement.dataset.key : null;
  list.replaceChildren(...objects.map((one) => row(one, one.id === edited, actions)));
  if (focused) list.querySelector(`[data-key="${focused}"]`)?.focus();
}

function row(one, isEdited, { about, edit, change, remove }) {
  const what = labelOf(one);
  const swatch = element("span", { className: "swatch" });
  swatch.style.background = `rgb(${colourOf(one.id).join(",")})`;
  const name = element("input", { value: one.name, placeholder: what, maxLength: 200 });
  name.setAttribute("aria-label", `Name of ${what}`);
  name.addEventListener("keydown", (event) => {
    if (event.key === "Escape") name.value = one.name;
    if (event.key === "Escape" || event.key === "Enter") get("view").focus();
  });
  name.addEventListener("blur", () => { if (name.value !== one.name) change(one, { name: name.value }); });
  const button = (text, label, action, key = label) => {
    const made = element("button", { textContent: text, title: `${label} ${what}`, type: "button" });
    made.setAttribute("aria-label", `${label} ${what}`);
    made.dataset.key = `${key}-${one.id}`;
    made.addEventListener("click", action);
    return made;
  };
  const [sign, verb] = one.visible ? ["●", "Hide"] : ["○", "Show"];
  const shown = button(sign, verb, () => change(one, { visible: !one.visible }), "visible");
  const item = element("li", {},
    swatch, name, shown, button("✎", "Edit", () => edit(one)), button("✕", "Delete", () => remove(one)),
    element("span", { className: "about", textContent: about(one) }));
  if (isEdited) item.setAttribute("aria-current", "true");
  return item;
}
