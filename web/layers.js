// SPDX-License-Identifier: MIT
// Settings by layer, written as the flags of the command line are: --experts 1-3=2,4=1 and --expert-mask 5:0-7,12.
// Each reader gives what a request says, or throws an Error with a sentence for the user.

function wholeNumber(text, what, least, most) {
  const n = /^\d{1,9}$/.test(text) ? Number(text) : NaN;
  if (n >= least && n <= most) return n;
  throw new Error(`${what}: a whole number from ${least} to ${most}, not “${text.slice(0, 20)}”.`);
}

// The first and last of "3" or "1-3".
function readRange(text, what, least, most) {
  const ends = text.split('-').map((end) => wholeNumber(end.trim(), what, least, most));
  const [first, last = first] = ends;
  if (ends.length <= 2 && first <= last) return [first, last];
  throw new Error(`${what}: one, or a range as 1-3 from the smaller to the larger, not “${text.slice(0, 20)}”.`);
}

const firstAndLast = (model) => {
  const layers = model.layers.map(({layer}) => layer);
  return [Math.min(...layers), Math.max(...layers)];
};

const listItems = (text, separator) => text.split(separator).map((item) => item.trim()).filter((item) => item !== '');

// "1-3=2, 4=1" as [[1, 3, 2], [4, 4, 1]]; the first that names a layer counts.
function readLayerCounts(text, model) {
  const [lowest, highest] = firstAndLast(model);
  return listItems(text, ',').map((item) => {
    const parts = item.split('=');
    if (parts.length !== 2) throw new Error(`Layers = experts, as 1-3=2, not “${item.slice(0, 20)}”.`);
    const k = wholeNumber(parts[1].trim(), 'Experts', 1, model.experts_max);
    return [...readRange(parts[0], 'Layers', lowest, highest), k];
  });
}

// "5:0-7,12; 6:3" as {"5": [0, ..., 7, 12], "6": [3]}.
function readMask(text, model) {
  const mask = {};
  const [lowest, highest] = firstAndLast(model);
  for (const item of listItems(text, ';')) {
    const parts = item.split(':');
    if (parts.length !== 2) throw new Error(`Layer: experts, as 5: 0-7, 12, not “${item.slice(0, 20)}”.`);
    const number = wholeNumber(parts[0].trim(), 'Layer', lowest, highest);
    const layer = model.layers.find((each) => each.layer === number);
    if (!layer) throw new Error(`Layer ${number} has no experts.`);
    const experts = listItems(parts[1], ',');
    if (experts.length === 0) throw new Error(`Layer ${number}: no experts are named.`);
    const ids = mask[number] ??= [];
    for (const range of experts) {
      const [first, last] = readRange(range, `Experts of layer ${number}`, 0, layer.n_expert + layer.n_zero - 1);
      for (let id = first; id <= last; ++id) if (!ids.includes(id)) ids.push(id);
    }
  }
  return mask;
}
