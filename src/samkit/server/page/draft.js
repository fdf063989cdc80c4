// The object that is being made: what was clicked and painted, every state of it, for undo.

const EMPTY = Object.freeze({ steps: [], candidate: null, found: null, strokes: [] });

export class Draft {
  constructor(onChange) {
    this.onChange = onChange;
    this.reset();
  }

  reset(state = EMPTY, id = null, about = {}) {
    this.states = [state];
    this.at = 0;
    this.id = id; // of the object that is edited
    this.name = about.name ?? "";
    this.visible = about.visible ?? true;
    this.onChange?.();
  }

  get state() {
    return this.states[this.at];
  }

  get isEmpty() {
    const { steps, strokes, found } = this.state;
    return !steps.length && !strokes.length && found === null;
  }

  get canUndo() {
    return this.at > 0;
  }

  get canRedo() {
    return this.at < this.states.length - 1;
  }

  push(change) {
    this.states = [...this.states.slice(0, this.at + 1), { ...this.state, ...change }];
    this.at += 1;
    this.onChange();
  }

  // A prompt begins with a mask that everything mode found, or goes on with steps.
  add(step) {
    this.push({ steps: [...this.state.steps, step], candidate: null, found: null });
  }

  paint(stroke) {
    this.push({ strokes: [...this.state.strokes, stroke] });
  }

  undo() {
    if (this.canUndo) this.at -= 1;
    this.onChange();
  }

  redo() {
    if (this.canRedo) this.at += 1;
    this.onChange();
  }

  // What the server is asked for.
  request(more = {}) {
    return { ...this.state, ...more };
  }

  // What outlives a reload of the page.
  toJSON() {
    const { states, at, id, name, visible } = this;
    return { states, at, id, name, visible };
  }

  restore(saved) {
    if (!Array.isArray(saved?.states) || !saved.states[saved.at]) return;
    Object.assign(this, saved);
    this.onChange();
  }
}
