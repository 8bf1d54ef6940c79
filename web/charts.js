// SPDX-License-Identifier: MIT
// Small charts of measurements.

const nSample = 120;  // two minutes, at one a second
const chartHeightPx = 56;

class Chart {
  // `series`: [name, name of its color]; `format` writes a value; `bars`: one per value instead of a line over time.
  constructor(parent, title, series, format, bars = false) {
    this.title = title;
    this.series = series;
    this.format = format;
    this.bars = bars;
    this.samples = [];  // [value per series], oldest first
    this.cursor = -1;
    this.canvas = el('canvas', {role: 'img', 'aria-label': title});
    this.value = el('span', {class: 'mono'});
    parent.append(el('figure', {class: 'chart'}, el('figcaption', {}, el('span', {}, title), this.value), this.canvas));
    this.draw = onNextFrame(() => this.paint());
    this.canvas.addEventListener('pointermove', (event) => this.point(event.offsetX));
    this.canvas.addEventListener('pointerleave', () => this.point(-1));
    new ResizeObserver(this.draw).observe(this.canvas);
  }

  push(...values) {
    this.samples.push(values);
    if (this.samples.length > nSample) this.samples.shift();
    this.draw();
  }

  get capacity() { return this.bars ? 40 : nSample; }

  point(x) {
    const at = Math.floor((x / this.canvas.clientWidth) * this.capacity) - (this.capacity - this.shown().length);
    this.cursor = x < 0 ? -1 : at;
    this.draw();
  }

  shown() { return this.samples.slice(-this.capacity); }

  paint() {
    const shown = this.shown();
    const {context, width, height} = prepareCanvas(this.canvas, chartHeightPx);
    context.clearRect(0, 0, width, height);
    const most = Math.max(...shown.flat().filter(Number.isFinite), 0);
    const x = (i) => ((i + this.capacity - shown.length) / this.capacity) * width;
    const y = (value) => height - 1 - (most > 0 ? value / most : 0) * (height - 14);
    context.fillStyle = themeColor('--line');
    context.fillRect(0, height - 1, width, 1);
    this.series.forEach(([, color], s) => {
      context.strokeStyle = context.fillStyle = themeColor(color);
      context.lineWidth = 1.5;
      context.beginPath();
      let drawing = false;
      shown.forEach((values, i) => {
        const known = Number.isFinite(values[s]);
        const top = y(values[s]);
        if (this.bars && known) context.fillRect(x(i), top, Math.max(width / this.capacity - 1, 1), height - top);
        else if (known) context[drawing ? 'lineTo' : 'moveTo'](x(i + 0.5), top);
        drawing = known;
      });
      if (!this.bars) context.stroke();
    });
    context.fillStyle = themeColor('--dim');
    context.font = `10px ${themeColor('--mono')}`;
    context.textBaseline = 'top';
    if (most > 0) context.fillText(this.format(most), 0, 0);
    if (shown[this.cursor]) context.fillRect(x(this.cursor + 0.5), 12, 1, height);
    this.tell(shown[this.cursor] ?? shown.at(-1));
  }

  tell(values) {
    const texts = (values ?? []).map((value, s) => (Number.isFinite(value)
      ? el('span', {class: this.series[s][1].slice(2)}, `${this.series[s][0]}${this.format(value)}`) : null));
    this.value.replaceChildren(...texts.filter(Boolean));
    this.canvas.setAttribute('aria-label', `${this.title}: ${this.value.textContent}`);
  }
}

class Charts {
  constructor() {
    const parent = byId('charts');
    const percent = (share) => `${formatNumber(share * 100, share > 0 && share < 0.1 ? 1 : 0)} %`;
    const two = (first, second) => [[`${first} `, '--series-1'], [`${second} `, '--series-2']];
    this.speed = new Chart(parent, 'Tokens per second', two('decode', 'prefill'), formatRate);
    this.firstToken = new Chart(parent, 'Time to first token', [['', '--series-1']], formatTime, true);
    this.queue = new Chart(parent, 'Requests', two('running', 'waiting'), (n) => formatNumber(n));
    this.cache = new Chart(parent, 'KV cache', two('used', 'hits'), percent);
    this.charts = [this.speed, this.firstToken, this.queue, this.cache];
    this.last = null;  // {now, atMs}
  }

  redraw() { for (const chart of this.charts) chart.draw(); }

  // `now`: the object "server" of /v1/moe, which may come more often than a chart has room for.
  take(now) {
    const atMs = performance.now();
    const seconds = (atMs - (this.last?.atMs ?? -Infinity)) / 1000;
    if (seconds < 0.9) return;
    const rise = (name) => {
      const difference = now[name] - this.last.now[name];
      return difference >= 0 ? difference : NaN;  // the server may have started anew
    };
    if (this.last) this.speed.push(rise('generation_tokens_total') / seconds, rise('prompt_tokens_total') / seconds);
    this.queue.push(now.n_running, now.n_waiting);
    this.cache.push(now.kv_cache_usage, now.prefix_cache_hits / now.prefix_cache_queries);  // 0 / 0 is not drawn
    this.last = {now, atMs};
  }
}
