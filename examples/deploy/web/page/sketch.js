/** A field to draw in with a mouse, a pen or a finger. */

const PEN = 18;

export class Sketch {
  /**
   * @param {HTMLCanvasElement} canvas
   * @param {(strokes: import("./strokes.js").Point[][]) => void} changed called whenever the drawing has changed
   */
  constructor(canvas, changed) {
    this.canvas = canvas;
    this.changed = changed;
    /** @type {import("./strokes.js").Point[][]} */
    this.strokes = [];
    canvas.addEventListener("pointerdown", (event) => this.begin(event));
    canvas.addEventListener("pointermove", (event) => this.extend(event));
  }

  clear() {
    this.strokes = [];
    this.draw();
    this.changed(this.strokes);
  }

  /** @param {PointerEvent} event */
  begin(event) {
    this.canvas.setPointerCapture(event.pointerId);
    this.strokes.push([]);
    this.extend(event);
  }

  /** @param {PointerEvent} event */
  extend(event) {
    if (event.buttons === 0 || this.strokes.length === 0) return;
    this.strokes[this.strokes.length - 1].push({ x: event.offsetX, y: event.offsetY });
    this.draw();
    this.changed(this.strokes);
  }

  draw() {
    const context = /** @type {CanvasRenderingContext2D} */ (this.canvas.getContext("2d"));
    context.clearRect(0, 0, this.canvas.width, this.canvas.height);
    context.lineWidth = PEN;
    context.lineCap = context.lineJoin = "round";
    context.strokeStyle = getComputedStyle(this.canvas).color;
    for (const stroke of this.strokes) {
      context.beginPath();
      context.moveTo(stroke[0].x, stroke[0].y);
      for (const { x, y } of stroke) context.lineTo(x, y);
      context.stroke();
    }
  }
}
