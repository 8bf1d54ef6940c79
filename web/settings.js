// SPDX-License-Identifier: MIT
// What the user sets for the next answer. A setting that is left alone is not sent: the server's own holds.

const settingsName = 'switchyard.settings';

const samplingFields = [
  // name in the request, label, least, largest, step
  ['temperature', 'Temperature', 0, 5, 'any'],
  ['top_k', 'Top k', 0, 1000000, 1],
  ['top_p', 'Top p', 0, 1, 'any'],
  ['min_p', 'Min p', 0, 1, 'any'],
  ['repeat_penalty', 'Repeat penalty', 0, 10, 'any'],
  ['presence_penalty', 'Presence penalty', -2, 2, 'any'],
  ['frequency_penalty', 'Frequency penalty', -2, 2, 'any'],
  ['max_tokens', 'Most tokens', 1, 1000000, 1],
  ['seed', 'Seed', 0, 4294967295, 1],
];

const noRouting = {experts_prefill: 0, experts_decode: 0, grouped: 'default', thresholdShare: 0, thresholdMin: 1,
                   keepRouting: true, layers_prefill: '', layers_decode: '', mask: ''};

const layerFields = [
  // name, label, example, reader
  ['layers_prefill', 'Prefill', '1-3=2, 4=1', readLayerCounts],
  ['layers_decode', 'Decode', '1-3=2, 4=1', readLayerCounts],
  ['mask', 'Never these', '5: 0-7, 12; 6: 3', readMask],
];

function loadSettings() {
  let stored = {};
  try {
    stored = JSON.parse(localStorage.getItem(settingsName)) ?? {};
  } catch {
    // Settings are quickly made again.
  }
  const routing = {...noRouting};
  for (const [name, value] of Object.entries(stored.routing ?? {}))
    if (typeof value === typeof noRouting[name]) routing[name] = value;
  const sampling = {};
  for (const [name] of samplingFields)
    if (typeof stored.sampling?.[name] === 'number') sampling[name] = stored.sampling[name];
  return {routing, sampling};
}

class Settings {
  constructor() {
    Object.assign(this, loadSettings());
    this.model = null;  // the object "moe" of /props: {layers, experts_max, default}
    this.makeRouting();
    this.makeSampling();
    byId('reset-routing').addEventListener('click', () => {
      this.routing = {...noRouting};
      this.save();
      this.makeRouting();
    });
    byId('reset-sampling').addEventListener('click', () => {
      this.sampling = {};
      this.save();
      this.makeSampling();
    });
  }

  save() {
    try {
      localStorage.setItem(settingsName, JSON.stringify({routing: this.routing, sampling: this.sampling}));
    } catch {
      // They hold as long as the page does.
    }
  }

  // `model` is null for one without experts.
  setModel(model) {
    if (JSON.stringify(model) === JSON.stringify(this.model)) return;
    this.model = model;
    this.makeRouting();
  }

  // `params`: the server's own values of the samplers, shown where the user sets none.
  setDefaults(params) {
    for (const [name] of samplingFields) {
      const value = params?.[name];
      if (typeof value === 'number') byId(`set-${name}`).placeholder = String(Number(value.toPrecision(6)));
    }
  }

  set(name, value) {
    this.routing[name] = value;
    this.save();
  }

  // A slider of numbers of experts, at whose left end the server's own number holds.
  expertsField(name, label) {
    const most = this.model?.experts_max ?? 0;
    const output = el('output', {for: `set-${name}`, class: 'mono'});
    const slider = el('input', {id: `set-${name}`, type: 'range', min: 0, max: most, step: 1, disabled: most === 0,
                                oninput: () => { this.set(name, slider.valueAsNumber); show(); }});
    slider.value = this.routing[name];
    if (most > 0) this.routing[name] = slider.valueAsNumber;  // another model may have room for fewer
    const show = () => {
      const n = slider.valueAsNumber;
      const text = n > 0 ? String(n) : this.model ? `${expertsText(this.model.default[name])} (default)` : '';
      output.textContent = text;
      slider.setAttribute('aria-valuetext', text);
    };
    show();
    return el('div', {class: 'field'}, el('label', {for: slider.id}, label), slider, output);
  }

  get hasGroups() { return Boolean(this.model?.layers.some((layer) => layer.n_group > 1)); }

  groupedField() {
    const group = el('div', {class: 'choice', role: 'radiogroup', 'aria-labelledby': 'set-grouped-label'});
    const own = this.model ? ` (${this.model.default.grouped ? 'on' : 'off'})` : '';
    choice(group, [['default', `Default${own}`], ['on', 'On'], ['off', 'Off']], this.routing.grouped,
           (value) => this.set('grouped', value));
    if (!this.hasGroups) for (const radio of group.children) radio.disabled = true;
    return el('div', {class: 'field'}, el('span', {id: 'set-grouped-label'}, 'Groups'), group);
  }

  thresholdField() {
    const output = el('output', {for: 'set-threshold', class: 'mono'});
    const slider = el('input', {id: 'set-threshold', type: 'range', min: 0, max: 1, step: 0.05, disabled: !this.model,
                                oninput: () => { this.set('thresholdShare', slider.valueAsNumber); show(); }});
    slider.value = this.routing.thresholdShare;
    const most = this.model?.experts_max ?? 1;
    const least = el('input', {id: 'set-threshold-min', type: 'number', min: 1, max: most, step: 1, required: true,
                               oninput: () => this.set('thresholdMin', least.valueAsNumber)});
    least.value = this.routing.thresholdMin;
    const show = () => {
      output.textContent = slider.valueAsNumber > 0 ? `${slider.value} of the best` : 'off';
      slider.setAttribute('aria-valuetext', output.textContent);
      least.disabled = !this.model || slider.valueAsNumber === 0;
    };
    show();
    const field = (label, input, more) => el('div', {class: 'field'}, el('label', {for: input.id}, label), input, more);
    return [field('Threshold', slider, output), field('At least', least, el('span', {}, 'experts stay'))];
  }

  // A text that says something of single layers, checked while it is written.
  layerField(name, label, example, read) {
    const problem = el('p', {id: `set-${name}-problem`, class: 'problem', role: 'status'});
    const input = el('input', {id: `set-${name}`, type: 'text', placeholder: example, class: 'mono', autocomplete: 'off',
                               spellcheck: 'false', disabled: !this.model, 'aria-describedby': problem.id,
                               oninput: () => { this.set(name, input.value); check(); }});
    input.value = this.routing[name];
    const check = () => {
      let message = '';
      try {
        if (this.model) read(input.value, this.model);
      } catch (error) {
        message = error.message;
      }
      input.setCustomValidity(message);
      input.setAttribute('aria-invalid', message !== '');
      problem.textContent = message;
    };
    check();
    return [el('div', {class: 'field wide'}, el('label', {for: input.id}, label), input), problem];
  }

  layersSection() {
    const used = layerFields.some(([name]) => this.routing[name] !== '');
    const open = byId('by-layer')?.open || used;
    return el('details', {id: 'by-layer', open}, el('summary', {}, 'By layer'),
              ...layerFields.flatMap((field) => this.layerField(...field)));
  }

  makeRouting() {
    const keep = el('input', {type: 'checkbox', id: 'set-keep', checked: this.routing.keepRouting,
                              onchange: () => this.set('keepRouting', keep.checked)});
    byId('routing-fields').replaceChildren(
      this.expertsField('experts_prefill', 'Experts, prefill'), this.expertsField('experts_decode', 'Experts, decode'),
      this.groupedField(), ...this.thresholdField(), this.layersSection(),
      el('label', {class: 'check'}, keep, " Return each token's routing"));
  }

  makeSampling() {
    const fields = samplingFields.map(([name, label, min, max, step]) => {
      const input = el('input', {id: `set-${name}`, type: 'number', min, max, step, inputmode: 'decimal',
                                 placeholder: byId(`set-${name}`)?.placeholder ?? "server's", oninput: () => {
        if (Number.isFinite(input.valueAsNumber)) this.sampling[name] = input.valueAsNumber;
        else delete this.sampling[name];
        this.save();
      }});
      if (name in this.sampling) input.value = this.sampling[name];
      return el('div', {class: 'field'}, el('label', {for: input.id}, label), input);
    });
    byId('sampling-fields').replaceChildren(...fields);
  }

  // The members of a request that hold the settings. Throws, with the field focused, where one is out of range.
  request() {
    for (const input of document.querySelectorAll('#panel input')) {
      if (input.disabled || input.checkValidity()) continue;
      input.closest('details')?.setAttribute('open', '');
      input.focus();
      const label = document.querySelector(`label[for="${input.id}"]`).textContent;
      throw new ServerError(`${label}: ${input.validationMessage}`);
    }
    const moe = {};
    for (const phase of ['prefill', 'decode']) {
      const name = `experts_${phase}`;
      const counts = this.model ? readLayerCounts(this.routing[`layers_${phase}`], this.model) : [];
      const others = this.routing[name];  // of the layers that are not named
      if (counts.length > 0) moe[name] = others > 0 ? [...counts, [...firstAndLast(this.model), others]] : counts;
      else if (others > 0) moe[name] = others;
    }
    const mask = this.model ? readMask(this.routing.mask, this.model) : {};
    if (Object.keys(mask).length > 0) moe.mask = mask;
    if (this.hasGroups && this.routing.grouped !== 'default') moe.grouped = this.routing.grouped === 'on';
    if (this.routing.thresholdShare > 0) moe.threshold = [this.routing.thresholdMin, this.routing.thresholdShare];
    if (this.routing.keepRouting) moe.return_routing = true;
    return {...this.sampling, ...(this.model && {moe})};
  }
}

const expertsText = (experts) => (Array.isArray(experts)
  ? experts.map(([first, last, k]) => `${k} in layers ${first}-${last}`).join(', ') : String(experts));

// The "moe" of an answer, which says what was really used, in words.
function routingText(moe) {
  const parts = [];
  if (moe.experts_prefill !== undefined && JSON.stringify(moe.experts_prefill) === JSON.stringify(moe.experts_decode))
    parts.push(`${expertsText(moe.experts_decode)} experts`);
  else if (moe.experts_prefill !== undefined)
    parts.push(`experts: ${expertsText(moe.experts_prefill)} prefill, ${expertsText(moe.experts_decode)} decode`);
  if (moe.grouped !== undefined && moe.grouped !== null) parts.push(moe.grouped ? 'groups on' : 'groups off');
  if (moe.threshold) parts.push(`threshold ${moe.threshold.join(', ')}`);
  if (moe.mask && Object.keys(moe.mask).length > 0) parts.push(`masks in layers ${Object.keys(moe.mask).join(', ')}`);
  return parts.join(' · ');
}
