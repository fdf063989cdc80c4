// Masks as they are drawn: a tint inside, a line along the outline.

// Okabe and Ito's colours, which can be told apart with any colour vision; then lighter and darker.
const BASE = [[0, 114, 178], [230, 159, 0], [0, 158, 115], [204, 121, 167], [86, 180, 233], [240, 228, 66], [213, 94, 0]];
const SHADES = [[0, 0], [255, 0.45], [0, 0.4]];

export function colourOf(id) {
  const number = id % (BASE.length * SHADES.length);
  const [towards, part] = SHADES[Math.floor(number / BASE.length)];
  return BASE[number % BASE.length].map((value) => Math.round(value + (towards - value) * part));
}

export class Mask {
  // Of the server's picture of a mask.
  static async from(data) {
    const bytes = Uint8Array.from(atob(data.png), (letter) => letter.charCodeAt(0));
    const bitmap = await createImageBitmap(new Blob([bytes], { type: "image/png" }));
    const canvas = new OffscreenCanvas(bitmap.width, bitmap.height);
    const context = canvas.getContext("2d", { willReadFrequently: true });
    context.drawImage(bitmap, 0, 0);
    bitmap.close();
    const pixels = context.getImageData(0, 0, canvas.width, canvas.height).data;
    const inside = new Uint8Array(canvas.width * canvas.height);
    for (let i = 0; i < inside.length; i++) inside[i] = pixels[4 * i] ? 1 : 0;
    return new Mask(data, canvas, inside);
  }

  constructor(data, canvas, inside) {
    Object.assign(this, { x: data.x, y: data.y, scale: data.scale, area: data.area, score: data.score, box: data.box });
    this.canvas = canvas;
    this.inside = inside;
    this.painted = null;
  }

  has(x, y) {
    const column = Math.floor((x - this.x) / this.scale);
    const row = Math.floor((y - this.y) / this.scale);
    const { width, height } = this.canvas;
    return column >= 0 && row >= 0 && column < width && row < height && this.inside[row * width + column] === 1;
  }

  paint([red, green, blue], tint) {
    const key = `${red},${green},${blue},${tint}`;
    if (this.painted === key) return;
    const { width, height } = this.canvas;
    const picture = new ImageData(width, height);
    const { inside } = this;
    for (let y = 0, i = 0; y < height; y++) {
      for (let x = 0; x < width; x++, i++) {
        if (!inside[i]) continue;
        const edge = x === 0 || y === 0 || x === width - 1 || y === height - 1 ||
          !inside[i - 1] || !inside[i + 1] || !inside[i - width] || !inside[i + width];
        picture.data.set([red, green, blue, edge ? 255 : tint], 4 * i);
      }
    }
    this.canvas.getContext("2d").putImageData(picture, 0, 0);
    this.painted = key;
  }

  draw(context, view, colour, tint = 100) {
    this.paint(colour, tint);
    context.imageSmoothingEnabled = view.scale * this.scale < 1;
    const [x, y] = view.toScreen(this.x, this.y);
    const size = view.scale * this.scale;
    context.drawImage(this.canvas, x, y, this.canvas.width * size, this.canvas.height * size);
  }
}
