// Where the image lies on the screen: one pixel of it is `scale` pixels of the screen.

const LARGEST = 64;

export class Viewport {
  constructor() {
    this.width = this.height = 1; // of the screen, in CSS pixels
    this.imageWidth = this.imageHeight = 1;
    this.scale = 1;
    this.x = this.y = 0; // of the image's corner
  }

  setScreen(width, height) {
    const whole = this.isWhole;
    this.width = width;
    this.height = height;
    if (whole) this.fit();
  }

  setImage(width, height) {
    this.imageWidth = width;
    this.imageHeight = height;
    this.fit();
  }

  get smallest() {
    return Math.min(this.width / this.imageWidth, this.height / this.imageHeight, 8);
  }

  fit() {
    this.scale = this.smallest;
    this.isWhole = true;
    this.x = (this.width - this.imageWidth * this.scale) / 2;
    this.y = (this.height - this.imageHeight * this.scale) / 2;
  }

  zoom(factor, x = this.width / 2, y = this.height / 2) {
    const [ix, iy] = this.toImage(x, y);
    this.scale = Math.min(LARGEST, Math.max(this.smallest, this.scale * factor));
    if (this.scale === this.smallest) return this.fit();
    this.isWhole = false;
    this.x = x - ix * this.scale;
    this.y = y - iy * this.scale;
    this.limit();
  }

  move(dx, dy) {
    if (this.isWhole) return;
    this.x += dx;
    this.y += dy;
    this.limit();
  }

  // A part of the image stays in view.
  limit() {
    const margin = 60;
    this.x = Math.min(this.width - margin, Math.max(margin - this.imageWidth * this.scale, this.x));
    this.y = Math.min(this.height - margin, Math.max(margin - this.imageHeight * this.scale, this.y));
  }

  toImage(x, y) {
    return [(x - this.x) / this.scale, (y - this.y) / this.scale];
  }

  toScreen(x, y) {
    return [x * this.scale + this.x, y * this.scale + this.y];
  }

  // Bring a place of the image into view.
  show(x, y) {
    const [sx, sy] = this.toScreen(x, y);
    const edge = 40;
    this.move(Math.min(0, this.width - edge - sx) + Math.max(0, edge - sx),
      Math.min(0, this.height - edge - sy) + Math.max(0, edge - sy));
  }
}
