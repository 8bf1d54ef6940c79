// SPDX-License-Identifier: MIT
// The map of layers x experts. Shade: an expert's load as a multiple of its layer's mean, on a logarithmic scale.

const windowTokens = 512;  // "recent" halves what it knows of the past every so many tokens
const largestRowPx = 20;
const mapHeightPx = 300;

// A color of the theme's ramp; `share` from 0 to 1.
function rampColors() {
  return [0, 1, 2, 3, 4].map((i) => themeColor(`--ramp-${i}`).match(/\w\w/g).map((hex) => parseInt(hex, 16)));
}

function rampColor(colors, share) {
  const at = Math.min(Math.max(share, 0), 1) * (colors.length - 1);
  const low = Math.min(Math.floor(at), colors.length - 2);
  const mix = colors[low].map((from, i) => Math.round(from + (colors[low + 1][i] - from) * (at - low)));
  return `rgb(${mix.join(' ')})`;
}

// Of a load relative to its mean: 1/4 is the ramp's one end, 4 the other.
const shadeOf = (ratio) => (Math.log2(Math.max(ratio, 1e-6)) + 2) / 4;

class HeatMap {
  // `onPick` hears of the cell {layer, expert} that the user pins, and null.
  constructor(onPick) {
    this.onPick = onPick;
    this.canvas = byId('map');
    this.readout = byId('map-readout');
    this.span = 'recent';
    this.layers = [];    // as /v1/moe gives them
    this.recent = [];    // [layer][expert], fading
    this.answer = [];    // the tokens of the last answer: [{text, layers: [{layer, experts, weights}]}]
    this.marked = [];    // cells of the token that the user looks at
    this.cursor = null;  // [row, column] under the pointer or the keyboard
    this.pinned = null;
    this.draw = onNextFrame(() => this.paint());
    const spans = [['recent', 'Recent'], ['all', 'Since start'], ['answer', 'Answer']];
    choice(byId('map-span'), spans, this.span, (span) => {
      this.span = span;
      this.draw();
      this.tell();
    });
    this.canvas.addEventListener('pointermove', (event) => this.move(this.cellAt(event)));
    this.canvas.addEventListener('pointerleave', () => this.move(null));
    this.canvas.addEventListener('click', (event) => this.pin(this.cellAt(event)));
    this.canvas.addEventListener('blur', () => this.move(null));
    this.canvas.addEventListener('keydown', (event) => this.onKey(event));
    new ResizeObserver(this.draw).observe(this.canvas);
    this.tell();
  }

  // A new state of the server's counts, which only grow until the server starts anew.
  setCounts(layers) {
    const old = this.layers;
    this.dense = layers.length === 0;
    const same = old.length === layers.length && layers.every((layer, i) => layer.layer === old[i].layer &&
      layer.counts.length === old[i].counts.length && layer.n_tokens >= old[i].n_tokens);
    if (same && !this.dense && layers.every((layer, i) => layer.n_tokens === old[i].n_tokens)) return;
    this.recent = layers.map((layer, i) => {
      if (!same) return layer.counts.slice();
      const keep = 2 ** (-(layer.n_tokens - old[i].n_tokens) / windowTokens);
      return layer.counts.map((n, e) => this.recent[i][e] * keep + (n - old[i].counts[e]));
    });
    this.layers = layers;
    this.draw();
    if (this.span !== 'answer') this.tell();
  }

  // The tokens of an answer, to which more are added while it streams in.
  setAnswer(tokens) {
    this.answer = tokens ?? [];
    if (this.span !== 'answer') return;
    this.draw();
    this.tell();
  }

  // Marks the experts of one token, or of none (null).
  markToken(token) {
    this.marked = (token?.layers ?? []).flatMap(({layer, experts}) => {
      const row = this.layers.findIndex((l) => l.layer === layer);
      return row < 0 ? [] : experts.filter((id) => id >= 0).map((id) => [row, id]);
    });
    this.draw();
  }

  rows() {
    if (this.span === 'all') return this.layers.map((layer) => layer.counts);
    if (this.span === 'recent') return this.recent;
    return this.layers.map((layer) => countTokens(this.answer, layer));
  }

  layout() {
    const nColumn = Math.max(...this.layers.map((layer) => layer.counts.length), 1);
    const left = 22;
    // Before the identity experts.
    const gap = this.layers.some((layer) => layer.counts.length > layer.n_expert) ? 5 : 0;
    const rowPx = Math.max(Math.min(largestRowPx, mapHeightPx / Math.max(this.layers.length, 1)), 2);
    return {left, gap, rowPx, nColumn, columnPx: (this.canvas.clientWidth - left - gap) / nColumn};
  }

  boxOf(row, column, {left, gap, rowPx, columnPx}) {
    return [left + column * columnPx + (column >= this.layers[row].n_expert ? gap : 0), row * rowPx, columnPx, rowPx];
  }

  cellAt(event) {
    const layout = this.layout();
    const row = Math.floor(event.offsetY / layout.rowPx);
    let x = event.offsetX - layout.left;
    if (x >= this.layers[row]?.n_expert * layout.columnPx) x -= layout.gap;
    const column = Math.floor(x / layout.columnPx);
    const inside = row >= 0 && column >= 0 && row < this.layers.length && column < this.layers[row].counts.length;
    return inside ? [row, column] : null;
  }

  move(cell) {
    if (cell === this.cursor || (cell && this.cursor && cell.join() === this.cursor.join())) return;
    this.cursor = cell;
    this.draw();
    this.tell();
  }

  pin(cell) {
    const again = cell && this.pinned && cell.join() === this.pinned.join();
    this.pinned = again ? null : cell;
    this.onPick(this.pinned && {layer: this.layers[this.pinned[0]].layer, expert: this.pinned[1]});
    this.draw();
    this.tell();
  }

  onKey(event) {
    const step = {ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0]}[event.key];
    if (this.layers.length === 0) return;
    if (step) {
      const [row, column] = this.cursor ?? this.pinned ?? [0, -1];
      const nextRow = Math.min(Math.max(row + step[0], 0), this.layers.length - 1);
      this.move([nextRow, Math.min(Math.max(column + step[1], 0), this.layers[nextRow].counts.length - 1)]);
    } else if (event.key === 'Enter' || event.key === ' ') {
      this.pin(this.cursor);
    } else if (event.key === 'Escape' && this.pinned) {
      this.pin(null);
    } else {
      return;
    }
    event.preventDefault();
    event.stopPropagation();
    byId('announce').textContent = this.readout.textContent;
  }

  // Says in words what the cursor is on, or what there is.
  tell() {
    const cell = this.cursor ?? this.pinned;
    const rows = this.rows();
    if (this.layers.length === 0) {
      this.readout.textContent = this.dense ? 'This model has no experts.' : 'Nothing has been counted yet.';
    } else if (cell && rows[cell[0]]) {
      const [row, column] = cell;
      const {layer, n_expert: nExpert} = this.layers[row];
      const share = rows[row][column] / (meanOf(rows[row], nExpert) || 1);
      const kind = column < nExpert ? `expert ${column}` : `identity expert ${column - nExpert}`;
      this.readout.textContent = `layer ${layer}, ${kind}: ${formatNumber(rows[row][column])} tokens, ` +
        `${formatNumber(share, 2)} x the mean` +
        (this.pinned?.join() === cell.join() ? '; pinned: its tokens are shaded' : '');
    } else {
      const busiest = rows.map((counts, row) => {
        const real = counts.slice(0, this.layers[row].n_expert);
        const most = Math.max(...real);
        const ratio = most / (meanOf(real, real.length) || 1);
        return {layer: this.layers[row].layer, expert: real.indexOf(most), ratio};
      }).reduce((a, b) => (b.ratio > a.ratio ? b : a));
      const of = this.span === 'answer' ? `${plural(this.answer.length, 'token')} of the answer`
        : `${plural(this.layers[0].n_tokens, 'token')} since start`;
      this.readout.textContent = `${of}; busiest: layer ${busiest.layer}, expert ${busiest.expert}, ` +
        `${formatNumber(busiest.ratio, 2)} x the mean`;
    }
  }

  paint() {
    const layout = this.layout();
    const {context, width, height} = prepareCanvas(this.canvas, Math.max(layout.rowPx * this.layers.length, 24));
    context.clearRect(0, 0, width, height);
    const colors = rampColors();
    const seam = layout.rowPx >= 6 && layout.columnPx >= 4 ? 1 : 0;
    this.rows().forEach((counts, row) => {
      const mean = meanOf(counts, this.layers[row].n_expert);
      counts.forEach((n, column) => {
        const [x, y, w, h] = this.boxOf(row, column, layout);
        context.fillStyle = n > 0 && mean > 0 ? rampColor(colors, shadeOf(n / mean)) : themeColor('--cell');
        context.fillRect(x, y, w - seam, h - seam);
      });
    });
    this.paintNames(context, layout);
    const outline = (cell, color) => {
      const [x, y, w, h] = this.boxOf(...cell, layout);
      const room = Math.max(5 - w, 0);  // a cell may be narrower than an outline
      context.strokeStyle = color;
      context.lineWidth = 1.5;
      context.strokeRect(x - 0.25 - room / 2, y - 0.25, w + room, h);
    };
    for (const cell of this.marked) outline(cell, themeColor('--text'));
    if (this.pinned) outline(this.pinned, themeColor('--accent'));
    if (this.cursor) outline(this.cursor, themeColor('--accent'));
    this.paintScale(colors);
  }

  paintNames(context, {rowPx}) {
    context.fillStyle = themeColor('--dim');
    context.font = `10px ${themeColor('--mono')}`;
    context.textAlign = 'right';
    context.textBaseline = 'middle';
    const every = Math.ceil(11 / rowPx);
    this.layers.forEach((layer, row) => {
      if (row % every === 0) context.fillText(String(layer.layer), 17, Math.max(row * rowPx + rowPx / 2, 5));
    });
  }

  paintScale(colors) {
    const {context, width, height} = prepareCanvas(byId('map-scale'), 8);
    for (let x = 0; x < width; ++x) {
      context.fillStyle = rampColor(colors, x / (width - 1));
      context.fillRect(x, 0, 1, height);
    }
  }
}

// The mean load of the experts that have weights.
const meanOf = (counts, nExpert) => counts.slice(0, nExpert).reduce((sum, n) => sum + n, 0) / nExpert;

// How often the tokens of an answer chose each expert of a layer.
function countTokens(tokens, layer) {
  const counts = new Array(layer.counts.length).fill(0);
  for (const token of tokens)
    for (const id of layerOf(token, layer.layer)?.experts ?? []) if (id >= 0) ++counts[id];
  return counts;
}

const layerOf = (token, layer) => token.layers.find((l) => l.layer === layer);
