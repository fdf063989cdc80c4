// The classes: one is chosen for the object that is being made, and others can be added.

import { call } from "./api.js";
import { element, fail, get, say } from "./ui.js";

export class Classes {
  constructor(names, onChange) {
    this.names = names;
    this.chosen = "";
    this.onChange = onChange;
    get("new-class").addEventListener("submit", (event) => {
      event.preventDefault();
      this.add(get("class-name").value.trim());
    });
    get("class-name").addEventListener("keydown", (event) => {
      if (event.key !== "Escape") return;
      get("class-name").value = "";
      get("view").focus();
    });
  }

  // Choosing it again takes it back.
  choose(name) {
    this.chosen = this.chosen === name ? "" : name;
    say("");
    this.onChange();
  }

  // By the keys 1 to 9.
  get keys() {
    const choose = (i) => () => { if (i < this.names.length) this.choose(this.names[i]); };
    return Object.fromEntries(Array.from({ length: 9 }, (_, i) => [String(i + 1), choose(i)]));
  }

  async add(name) {
    if (!name) return;
    try {
      ({ classes: this.names } = await call("POST", "/classes", { name }));
      get("class-name").value = "";
      this.chosen = name;
      say("");
      get("view").focus();
    } catch (error) {
      fail(error);
    }
    this.onChange();
  }

  show() {
    get("classes").replaceChildren(...this.names.map((name, i) => {
      const text = i < 9 ? `${i + 1} ${name}` : name;
      const button = element("button", { textContent: text, title: name, type: "button" });
      button.setAttribute("aria-pressed", String(name === this.chosen));
      button.addEventListener("click", () => this.choose(name));
      return button;
    }));
  }
}
