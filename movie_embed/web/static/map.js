// The map of all movies: points by WebGL, and titles, rings and lines on a canvas above them.

const POINT = `#version 300 es
in vec2 place; in vec4 look; in float size; in float shown;
uniform vec4 view; uniform float zoom;
out vec4 tint; out float edge; out float shape;
void main() {
  gl_Position = vec4((place - view.xy) * view.zw, 0.0, 1.0);
  gl_PointSize = size * zoom * mix(0.7, 1.0, shown);
  tint = vec4(look.rgb, mix(0.1, 0.85, shown));
  shape = look.a;
  edge = 2.0 / gl_PointSize;
}`;
const SHAPE = `#version 300 es
precision mediump float;
in vec4 tint; in float edge; in float shape; out vec4 pixel;
void main() {
  vec2 at = gl_PointCoord * 2.0 - 1.0, size = abs(at);
  float away = shape < 0.5 ? length(at) : shape < 1.5 ? max(size.x, size.y) / 0.82
    : shape < 2.5 ? max(at.y / 0.75, (size.x * 1.6 - at.y) / 0.95) : size.x + size.y;
  pixel = vec4(tint.rgb, tint.a * (1.0 - smoothstep(1.0 - edge, 1.0, away)));
}`;
// By number, as the columns have them: disc, square, triangle, diamond; 2 wide and high.
const SHAPES = ["M0-.85A.85.85 0 1 1 0 .85A.85.85 0 1 1 0-.85Z", "M-.75-.75H.75V.75H-.75Z", "M0-.9L1 .75H-1Z", "M0-1L1 0L0 1L-1 0Z"];
const WHOLE = { x: 0, y: 0, zoom: 0.9 };
const LEVELS = [1.7, 4, 9]; // from which zoom the names of smaller regions are shown

// "Matrix, The" as it is said.
export const said = (title) => title.replace(/^(.+), (The|An?|L[aeo]s?|L'|Un[ae]?|El|Il|Der|Die|Das|Det)$/, (_, rest, article) => `${article}${article === "L'" ? "" : " "}${rest}`);

// An entry of the legend; after the last genre comes what has none.
export function legendItem(map, genre, name) {
  const space = "http://www.w3.org/2000/svg";
  const dot = document.createElementNS(space, "svg");
  dot.setAttribute("viewBox", "-1 -1 2 2");
  dot.setAttribute("class", "dot");
  const { colors, dark_colors: dark, shapes } = map.columns;
  const at = genre < 0 ? colors.length - 1 : genre;
  dot.append(document.createElementNS(space, "path"));
  dot.firstChild.setAttribute("d", SHAPES[shapes[at]]);
  dot.style.setProperty("--light", colors[at]);
  dot.style.setProperty("--dark", dark[at]);
  const item = document.createElement("span");
  item.append(dot, name);
  return item;
}

const mix = (from, to, part) => from + (to - from) * part;
const bounded = (value, least, most) => Math.min(Math.max(value, least), most);

export class MovieMap {
  // `root` is an element with a canvas for the points and one for what is above them.
  constructor(root, columns, { onPick = () => {}, onMove = () => {} } = {}) {
    this.root = root;
    [this.canvas, this.above] = root.querySelectorAll("canvas");
    this.columns = columns;
    [this.onPick, this.onMove] = [onPick, onMove];
    // The first of a movie's genres is the most telling.
    this.genre = columns.genres.map((genres) => genres[0] ?? columns.genre_names.length);
    this.size = columns.x.length;
    this.titles = columns.title.map(said);
    this.row = new Map(columns.movie_id.map((id, row) => [String(id), row]));
    const most = Math.log1p(columns.ratings.reduce((a, b) => Math.max(a, b), 1));
    const few = bounded(3000 / this.size, 0.35, 1);
    this.sizes = Float32Array.from(columns.ratings, (n) => (3 + 7 * (Math.log1p(n) / most) ** 3) * mix(0.6, 1, few));
    this.byRatings = [...columns.ratings.keys()].sort((a, b) => columns.ratings[b] - columns.ratings[a]);
    this.shown = new Float32Array(this.size).fill(1);
    this.marks = { focus: null, near: [], rated: [], recommended: [] };
    this.view = { ...WHOLE };
    this.active = false; // a finger moves the map, once it was tapped, and else the page
    this.hovered = null;
    this.budget = this.size;
    this.widths = new Map();
    this.dark = matchMedia("(prefers-color-scheme: dark)");
    this.still = matchMedia("(prefers-reduced-motion: reduce)");
    this.dark.addEventListener("change", () => this.recolor());
    this.gl = this.canvas.getContext("webgl2", { antialias: false, alpha: true, premultipliedAlpha: false });
    if (this.gl) this.prepare();
    this.recolor();
    this.listen();
    new ResizeObserver(() => this.draw()).observe(root);
  }

  prepare() {
    const gl = this.gl;
    const program = gl.createProgram();
    for (const [kind, source] of [[gl.VERTEX_SHADER, POINT], [gl.FRAGMENT_SHADER, SHAPE]]) {
      const shader = gl.createShader(kind);
      gl.shaderSource(shader, source);
      gl.compileShader(shader);
      gl.attachShader(program, shader);
    }
    gl.linkProgram(program);
    gl.useProgram(program);
    gl.enable(gl.BLEND);
    gl.blendFuncSeparate(gl.SRC_ALPHA, gl.ONE_MINUS_SRC_ALPHA, gl.ONE, gl.ONE_MINUS_SRC_ALPHA);
    this.uniforms = ["view", "zoom"].map((name) => gl.getUniformLocation(program, name));
    this.buffers = {};
    for (const [name, length] of [["place", 2], ["look", 4], ["size", 1], ["shown", 1]]) {
      const at = gl.getAttribLocation(program, name);
      this.buffers[name] = gl.createBuffer();
      gl.bindBuffer(gl.ARRAY_BUFFER, this.buffers[name]);
      gl.enableVertexAttribArray(at);
      gl.vertexAttribPointer(at, length, gl.FLOAT, false, 0, 0);
    }
    const { x, y } = this.columns;
    this.fill("place", (row) => [x[row], y[row]]);
    this.fill("size", (row) => this.sizes[row]);
    this.fill("shown", (row) => this.shown[row]);
  }

  // The most rated come first, so that a slow machine can draw these alone while the map moves.
  fill(name, of) {
    if (!this.gl) return;
    this.gl.bindBuffer(this.gl.ARRAY_BUFFER, this.buffers[name]);
    this.gl.bufferData(this.gl.ARRAY_BUFFER, new Float32Array(this.byRatings.flatMap(of)), this.gl.STATIC_DRAW);
  }

  recolor() {
    const { colors, dark_colors: dark, shapes } = this.columns;
    this.colors = this.dark.matches ? dark : colors;
    const looks = this.colors.map((hex, i) => [...[1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16) / 255), shapes[i]]);
    this.fill("look", (row) => looks[this.genre[row]]);
    this.draw();
  }

  // Let only the movies for which `passes(row)` is true stand out.
  filter(passes) {
    for (let row = 0; row < this.size; row++) this.shown[row] = passes(row) ? 1 : 0;
    this.fill("shown", (row) => this.shown[row]);
    this.draw();
  }

  mark(marks) {
    const rows = (ids) => ids.map((id) => this.row.get(String(id))).filter((row) => row !== undefined);
    this.marks = {
      focus: rows([marks.focus])[0] ?? null,
      near: rows(marks.near ?? []),
      rated: rows(marks.rated ?? []),
      recommended: rows(marks.recommended ?? []),
      region: marks.region ?? null,
    };
    this.draw();
  }

  // Go to a movie, so near that most of the marked movies near it are seen.
  flyTo(id) {
    const row = this.row.get(String(id));
    if (row === undefined) return;
    const { x, y } = this.columns;
    const away = this.marks.near.map((other) => Math.hypot(x[other] - x[row], y[other] - y[row])).sort((a, b) => a - b);
    const reach = away[Math.floor(away.length * 0.7)] ?? 0.25;
    const middle = (of) => this.marks.near.reduce((sum, other) => sum + of[other], of[row]) / (away.length + 1);
    this.fly({ x: (x[row] + middle(x)) / 2, y: (y[row] + middle(y)) / 2, zoom: bounded(0.85 / (reach + 0.01), 0.9, 8) });
  }

  fly(to) {
    const from = { ...this.view };
    const start = performance.now();
    const far = Math.hypot(to.x - from.x, to.y - from.y) * from.zoom > 0.3;
    this.flight = (now) => {
      const part = this.still.matches ? 1 : bounded((now - start) / 700, 0, 1);
      const eased = part * part * (3 - 2 * part);
      const up = far ? 1 - 0.45 * Math.sin(Math.PI * part) : 1; // a look from above on the way
      this.view = { x: mix(from.x, to.x, eased), y: mix(from.y, to.y, eased), zoom: mix(from.zoom, to.zoom, eased) * up };
      if (part === 1) this.flight = null;
    };
    this.draw();
  }

  // Show [x, y, zoom], or the whole map.
  look(view, moved = false) {
    const [x, y, zoom] = view ?? [WHOLE.x, WHOLE.y, WHOLE.zoom];
    const to = { x: bounded(x, -1.1, 1.1), y: bounded(y, -1.1, 1.1), zoom: bounded(zoom, 0.5, 80) };
    this.flight = null;
    if (!moved) this.view = to;
    else {
      this.fly(to);
      this.onMove(null);
    }
    this.draw();
  }

  // The part of the map that is seen: [left, bottom, right, top].
  visible() {
    const { x, y } = this.view;
    const [across, up] = [this.width / 2 / this.scale(), this.height / 2 / this.scale()];
    return [x - across, y - up, x + across, y + up].map((each) => Number(bounded(each, -1, 1).toFixed(3)));
  }

  isWithin(row, [left, bottom, right, top]) {
    const [x, y] = [this.columns.x[row], this.columns.y[row]];
    return x >= left && x <= right && y >= bottom && y <= top;
  }

  // The ids of the movies of a part of the map, the most rated first.
  within(region) {
    return this.byRatings.filter((row) => this.isWithin(row, region)).map((row) => String(this.columns.movie_id[row]));
  }

  // Pixels of the canvas for a place of the map, and the other way round.
  scale() {
    return (Math.min(this.width, this.height) / 2) * this.view.zoom;
  }

  pixel(x, y) {
    const scale = this.scale();
    return [(x - this.view.x) * scale + this.width / 2, (this.view.y - y) * scale + this.height / 2];
  }

  toScreen(row) {
    return this.pixel(this.columns.x[row], this.columns.y[row]);
  }

  zoomAt(px, py, factor) {
    const before = this.scale();
    this.view.zoom = bounded(this.view.zoom * factor, 0.5, 80);
    const gain = 1 / before - 1 / this.scale();
    this.view.x += (px - this.width / 2) * gain;
    this.view.y -= (py - this.height / 2) * gain;
    this.moved();
  }

  pan(dx, dy) {
    this.flight = null;
    this.view.x = bounded(this.view.x - dx / this.scale(), -1.1, 1.1);
    this.view.y = bounded(this.view.y + dy / this.scale(), -1.1, 1.1);
    this.moved();
  }

  zoomBy(factor) {
    this.flight = null;
    this.zoomAt(this.width / 2, this.height / 2, factor);
  }

  moved() {
    const { x, y, zoom } = this.view;
    this.onMove([x, y, zoom].map((each) => Number(each.toFixed(3))));
    this.draw();
  }

  activate(active) {
    this.active = active;
    this.root.classList.toggle("active", active);
  }

  rowAt(px, py) {
    let best = null;
    let least = 14 ** 2;
    for (let row = 0; row < this.size; row++) {
      if (!this.shown[row] && !this.isMarked(row)) continue;
      const [x, y] = this.toScreen(row);
      const away = (x - px) ** 2 + (y - py) ** 2;
      if (away < least) [best, least] = [row, away];
    }
    return best;
  }

  isMarked(row) {
    const { focus, near, rated, recommended } = this.marks;
    return row === focus || near.includes(row) || rated.includes(row) || recommended.includes(row);
  }

  listen() {
    const fingers = new Map();
    let moved = 0;
    const at = (event) => [event.offsetX, event.offsetY];
    const spread = () => {
      const [[ax, ay], [bx, by]] = [...fingers.values()];
      return Math.hypot(ax - bx, ay - by) || 1;
    };
    const on = (name, act, options) => this.above.addEventListener(name, act, options);
    on("pointerdown", (event) => {
      this.above.setPointerCapture(event.pointerId);
      fingers.set(event.pointerId, at(event));
      if (fingers.size === 1) moved = 0;
    });
    on("pointermove", (event) => {
      const last = fingers.get(event.pointerId);
      if (!last) {
        this.hover(this.rowAt(...at(event)));
        return;
      }
      const [x, y] = at(event);
      const before = fingers.size === 2 ? spread() : 0;
      fingers.set(event.pointerId, [x, y]);
      if (before) this.zoomAt(x, y, spread() / before);
      moved += Math.hypot(x - last[0], y - last[1]);
      if (event.pointerType === "mouse" || this.active || fingers.size > 1) this.pan((x - last[0]) / fingers.size, (y - last[1]) / fingers.size);
    });
    for (const name of ["pointerup", "pointercancel"])
      on(name, (event) => {
        fingers.delete(event.pointerId);
        if (name === "pointercancel" || moved > 6) return;
        if (event.pointerType !== "mouse") this.activate(true);
        const row = this.rowAt(...at(event));
        if (row !== null) this.onPick(String(this.columns.movie_id[row]));
      });
    on("pointerleave", () => this.hover(null));
    document.addEventListener("pointerdown", (event) => { if (!this.root.contains(event.target)) this.activate(false); });
    on("wheel", (event) => {
      const scrolls = document.scrollingElement.scrollHeight > innerHeight;
      if (scrolls && !this.active && !event.ctrlKey) return; // the page's
      event.preventDefault();
      this.zoomAt(...at(event), Math.exp(-event.deltaY * (event.deltaMode ? 0.05 : 0.0015)));
    }, { passive: false });
    on("keydown", (event) => {
      const step = { ArrowLeft: [60, 0], ArrowRight: [-60, 0], ArrowUp: [0, 60], ArrowDown: [0, -60] }[event.key];
      const factor = { "+": 1.3, "=": 1.3, "-": 1 / 1.3 }[event.key];
      if (!step && !factor) return;
      event.preventDefault();
      if (step) this.pan(...step);
      else this.zoomBy(factor);
    });
  }

  hover(row) {
    if (row === this.hovered) return;
    this.hovered = row;
    this.above.classList.toggle("pointing", row !== null);
    this.draw();
  }

  draw() {
    this.asked ??= requestAnimationFrame((now) => {
      this.asked = null;
      this.flight?.(now);
      this.pace(now);
      this.paint(this.budget);
      if (this.flight) this.draw();
    });
  }

  // Draw fewer points where frames take long, and all once the map is still.
  pace(now) {
    const took = now - this.last;
    this.last = now;
    if (took < 200) this.budget = bounded(this.budget * (took > 28 ? 0.6 : took < 20 ? 1.15 : 1), 2000, this.size);
    clearTimeout(this.rest);
    if (this.budget < this.size) this.rest = setTimeout(() => this.paint(), 200);
  }

  paint(most = this.size) {
    const ratio = devicePixelRatio || 1;
    [this.width, this.height] = [this.root.clientWidth, this.root.clientHeight];
    if (!this.width || !this.height) return;
    for (const canvas of [this.canvas, this.above]) {
      const [width, height] = [Math.round(this.width * ratio), Math.round(this.height * ratio)];
      if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
    }
    const pen = this.above.getContext("2d");
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    pen.clearRect(0, 0, this.width, this.height);
    const grown = bounded(this.view.zoom ** 0.45, 0.8, 4) * bounded(this.width / 700, 0.7, 1.2);
    if (this.gl) {
      const scale = this.scale();
      this.gl.viewport(0, 0, this.canvas.width, this.canvas.height);
      this.gl.clear(this.gl.COLOR_BUFFER_BIT);
      this.gl.uniform4f(this.uniforms[0], this.view.x, this.view.y, (2 * scale) / this.width, (2 * scale) / this.height);
      this.gl.uniform1f(this.uniforms[1], ratio * grown);
      this.gl.drawArrays(this.gl.POINTS, 0, Math.min(most, this.size));
    } else this.paintPoints(pen, grown, most);
    this.paintMarks(pen);
    this.paintTitles(pen);
  }

  // Where there is no WebGL.
  paintPoints(pen, grown, most) {
    for (const row of this.byRatings.slice(0, most)) {
      const [x, y] = this.toScreen(row);
      const side = this.sizes[row] * grown;
      pen.globalAlpha = this.shown[row] ? 0.85 : 0.1;
      pen.fillStyle = this.colors[this.genre[row]];
      pen.fillRect(x - side / 2, y - side / 2, side, side);
    }
    pen.globalAlpha = 1;
  }

  paintMarks(pen) {
    const style = getComputedStyle(this.root);
    const color = (name) => style.getPropertyValue(name);
    const { focus, near, rated, recommended, region } = this.marks;
    if (region) {
      const [left, top] = this.pixel(region[0], region[3]);
      const [right, bottom] = this.pixel(region[2], region[1]);
      pen.strokeStyle = color("--accent");
      pen.lineWidth = 2;
      pen.setLineDash([6, 5]);
      pen.strokeRect(left, top, right - left, bottom - top);
      pen.setLineDash([]);
    }
    const ring = (row, stroke, radius, width) => {
      pen.beginPath();
      pen.arc(...this.toScreen(row), radius, 0, 7);
      pen.lineWidth = width;
      pen.strokeStyle = stroke;
      pen.stroke();
    };
    pen.strokeStyle = color("--accent");
    pen.globalAlpha = 0.55;
    pen.lineWidth = 1.3;
    for (const row of focus === null ? [] : near) {
      pen.beginPath();
      pen.moveTo(...this.toScreen(focus));
      pen.lineTo(...this.toScreen(row));
      pen.stroke();
    }
    pen.globalAlpha = 1;
    for (const row of [...near, ...recommended]) ring(row, color("--accent"), 7, 2);
    for (const row of rated) {
      const [x, y] = this.toScreen(row);
      pen.beginPath();
      for (let i = 0; i < 10; i++) {
        const reach = i % 2 ? 3.6 : 8.5;
        pen.lineTo(x + reach * Math.sin((i * Math.PI) / 5), y - reach * Math.cos((i * Math.PI) / 5));
      }
      pen.closePath();
      pen.fillStyle = color("--star");
      pen.strokeStyle = color("--panel");
      pen.lineWidth = 1.5;
      pen.fill();
      pen.stroke();
    }
    if (focus !== null) ring(focus, color("--accent"), 10, 3.5);
    if (this.hovered !== null) ring(this.hovered, color("--text"), 9, 1.5);
  }

  // What is common in a part of the map, and not elsewhere; smaller parts show nearer by.
  paintRegions(pen, style, taken) {
    const shown = LEVELS.filter((zoom) => this.view.zoom >= zoom).length;
    pen.font = `600 13px ${style.fontFamily}`;
    pen.textAlign = "center";
    pen.fillStyle = style.getPropertyValue("--accent");
    for (const { name, x, y, level } of this.columns.regions) {
      if (level !== shown) continue;
      const [px, py] = this.pixel(x, y);
      const half = pen.measureText(name).width / 2 + 6;
      if (px < half || px > this.width - half || py < 14 || py > this.height - 14) continue;
      taken.push([px - half, py - 12, px + half, py + 12]);
      pen.strokeText(name, px, py);
      pen.fillText(name, px, py);
    }
    pen.textAlign = "start";
  }

  // Titles of marked movies, then of the most rated, as there is room.
  paintTitles(pen) {
    const style = getComputedStyle(this.root);
    const { focus, near, rated, recommended } = this.marks;
    pen.textBaseline = "middle";
    pen.lineJoin = "round";
    pen.lineWidth = 3.5;
    pen.strokeStyle = style.getPropertyValue("--panel");
    const taken = [];
    this.paintRegions(pen, style, taken);
    pen.font = `12px ${style.fontFamily}`;
    pen.fillStyle = style.getPropertyValue("--text");
    const longest = bounded(this.width / 18, 18, 38);
    const most = bounded((this.width * this.height) / 9000, 12, 90);
    const place = (row, always) => {
      const [x, y] = this.toScreen(row);
      if (x < -40 || y < 0 || x > this.width || y > this.height) return;
      const [title, year] = [this.titles[row], this.columns.year[row]];
      const plain = title.length > longest ? `${title.slice(0, longest - 2)}…` : title;
      const text = row === this.hovered && year ? `${title} (${year})` : plain;
      if (!this.widths.has(text)) this.widths.set(text, pen.measureText(text).width);
      const width = this.widths.get(text);
      const left = x + 12 + width > this.width ? x - 12 - width : x + 12;
      const box = [left - 4, y - 9, left + width + 4, y + 9];
      const hit = left < 0 || taken.some((b) => box[0] < b[2] && box[2] > b[0] && box[1] < b[3] && box[3] > b[1]);
      if (hit && !always) return;
      taken.push(box);
      pen.strokeText(text, left, y);
      pen.fillText(text, left, y);
    };
    if (this.hovered !== null) place(this.hovered, true);
    if (focus !== null) place(focus, true);
    for (const row of [...near, ...rated, ...recommended]) place(row, false);
    pen.globalAlpha = 0.8;
    for (let i = 0; i < Math.min(this.size, 5000) && taken.length < most; i++) {
      if (this.shown[this.byRatings[i]]) place(this.byRatings[i], false);
    }
    pen.globalAlpha = 1;
  }
}
