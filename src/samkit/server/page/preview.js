// What a click would give, while the pointer moves.

import { Mask } from "./masks.js";
import { fail } from "./ui.js";

// One request at a time: when it is answered, the place where the pointer is then is asked for.
export class Preview {
  // `ask` gives the server's answer for a place, or null if nothing is wanted any more.
  constructor(ask, onChange) {
    this.ask = ask;
    this.onChange = onChange;
    this.mask = null;
    this.wanted = null;
    this.isAsking = false;
    this.generation = 0;
  }

  // Nothing is shown, and what was asked for will not be either.
  clear() {
    this.generation += 1;
    this.wanted = null;
    this.mask = null;
    this.onChange();
  }

  async at(x, y) {
    this.wanted = [x, y];
    if (this.isAsking) return;
    this.isAsking = true;
    while (this.wanted) {
      const [place, own] = [this.wanted, this.generation];
      this.wanted = null;
      try {
        const data = await this.ask(...place);
        if (data === null) continue;
        const mask = await Mask.from(data);
        if (own !== this.generation) continue;
        this.mask = mask;
        this.onChange();
      } catch (error) {
        if (!["busy", "gone"].includes(error.code)) fail(error);
      }
    }
    this.isAsking = false;
  }
}
