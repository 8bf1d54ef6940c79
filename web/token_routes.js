// SPDX-License-Identifier: MIT
// Two views beside the map: the experts of one token, and how many experts with weights tokens had, where a
// model has identity experts.

// Shows a token's experts in each layer; null hides the table. `layers` as in /v1/moe.
function showToken(token, layers) {
  byId('token').hidden = !token;
  if (!token) return;
  byId('token-text').textContent = JSON.stringify(token.text ?? '');
  byId('token-routes').replaceChildren(...token.layers.map(({layer, experts, weights}) => {
    const nExpert = layers.find((l) => l.layer === layer)?.n_expert ?? Infinity;
    return el('tr', {},
    el('th', {scope: 'row'}, String(layer)),
    el('td', {}, ...experts.flatMap((id, slot) => (id < 0 ? [] : [el('span', {class: 'slot'},
      el('span', {class: 'expert'}, id < nExpert ? String(id) : `i${id - nExpert}`),
      el('span', {class: 'weight'}, weights[slot].toFixed(2)))]))));
  }));
}

// Draws, per layer, the share of tokens that had 0, 1, 2, ... experts with weights.
function showRealExperts(layers) {
  const section = byId('real');
  section.hidden = !layers.some((layer) => layer.counts.length > layer.n_expert && layer.n_tokens > 0);
  if (section.hidden) return;
  const rowPx = 16;
  const left = 22;
  const canvas = byId('real-map');
  const {context, width, height} = prepareCanvas(canvas, rowPx * (layers.length + 1));
  // Rows have room for the largest policy; columns that no token has come to are left out.
  const nColumn = Math.max(...layers.map((layer) => layer.real_per_token.findLastIndex((n) => n > 0))) + 1;
  const columnPx = (width - left) / nColumn;
  const colors = rampColors();
  context.clearRect(0, 0, width, height);
  context.font = `10px ${themeColor('--mono')}`;
  context.textBaseline = 'middle';
  context.textAlign = 'center';
  context.fillStyle = themeColor('--dim');
  for (let n = 0; n < nColumn; ++n) context.fillText(String(n), left + (n + 0.5) * columnPx, rowPx / 2);
  layers.forEach((layer, row) => {
    const y = (row + 1) * rowPx;
    context.fillStyle = themeColor('--dim');
    context.fillText(String(layer.layer), 10, y + rowPx / 2);
    layer.real_per_token.slice(0, nColumn).forEach((n, column) => {
      const share = layer.n_tokens > 0 ? n / layer.n_tokens : 0;
      context.fillStyle = share > 0 ? rampColor(colors, share) : themeColor('--cell');
      context.fillRect(left + column * columnPx, y, columnPx - 1, rowPx - 1);
      if (columnPx < 24 || share === 0) return;
      context.fillStyle = themeColor(share > 0.5 ? '--ramp-0' : '--ramp-4');
      context.fillText(`${Math.round(share * 100)}`, left + (column + 0.5) * columnPx, y + rowPx / 2);
    });
  });
  const shares = layers.flatMap((layer) => layer.real_per_token.map((n, real) => [real * n, n]));
  const mean = shares.reduce((sum, [real]) => sum + real, 0) / (shares.reduce((sum, [, n]) => sum + n, 0) || 1);
  byId('real-readout').textContent = `${formatNumber(mean, 2)} on average; the rows are layers, in percent of tokens`;
}
