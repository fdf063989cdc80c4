// The image in tiles, loaded when they come into view.

import { picture } from "./api.js";

const MOST = 400; // tiles of 512 x 512 that are kept, about 400 MB

// A picture for the stage. `path` is where its tiles are.
export class Tiles {
  constructor(path, info, onLoad) {
    this.path = path;
    this.size = info.tile;
    this.levels = info.levels;
    [this.height, this.width] = info.image_size;
    this.onLoad = onLoad;
    this.tiles = new Map(); // key -> ImageBitmap, or null while it loads
    this.stopping = new AbortController();
  }

  close() {
    this.stopping.abort();
    for (const tile of this.tiles.values()) tile?.close();
    this.tiles.clear();
  }

  draw(context, view, ratio) {
    context.imageSmoothingEnabled = view.scale * ratio < 2; // sharp pixels when they are large
    context.imageSmoothingQuality = "high";
    const wanted = Math.floor(Math.log2(1 / (view.scale * ratio)));
    const level = Math.min(this.levels - 1, Math.max(0, wanted));
    // The coarsest level is always there, below what is still loading.
    for (const one of new Set([this.levels - 1, level])) this.drawLevel(context, view, one);
  }

  drawLevel(context, view, level) {
    const factor = 2 ** level;
    const side = this.size * factor; // in pixels of the image
    const [x0, y0] = view.toImage(0, 0);
    const [x1, y1] = view.toImage(view.width, view.height);
    const first = (value) => Math.max(0, Math.floor(value / side));
    const last = (value, whole) => Math.min(Math.ceil(whole / side) - 1, Math.floor(value / side));
    for (let row = first(y0); row <= last(y1, this.height); row++) {
      for (let column = first(x0); column <= last(x1, this.width); column++) {
        const tile = this.tile(level, column, row);
        if (!tile) continue;
        const [x, y] = view.toScreen(column * side, row * side);
        context.drawImage(tile, x, y, tile.width * factor * view.scale, tile.height * factor * view.scale);
      }
    }
  }

  tile(level, column, row) {
    const key = `${level}/${column}/${row}`;
    if (!this.tiles.has(key)) {
      this.tiles.set(key, null);
      this.load(key);
    }
    const tile = this.tiles.get(key);
    if (tile) { // the last used are at the end
      this.tiles.delete(key);
      this.tiles.set(key, tile);
    }
    return tile;
  }

  async load(key) {
    try {
      const tile = await picture(`${this.path}/${key}`, this.stopping.signal);
      if (this.stopping.signal.aborted) return tile.close();
      this.tiles.set(key, tile);
      for (const [old, bitmap] of this.tiles) {
        if (this.tiles.size <= MOST) break;
        if (bitmap) {
          bitmap.close();
          this.tiles.delete(old);
        }
      }
      this.onLoad();
    } catch {
      this.tiles.delete(key); // asked for again when it is in view
    }
  }
}
