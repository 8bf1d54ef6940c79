// SPDX-License-Identifier: MIT
// What the other files build the page with.

const byId = (id) => document.getElementById(id);

// An element with attributes and children. "on..." attributes are listeners, false and null leave one out.
// Children are nodes or strings, and strings become text: nothing here is ever parsed as HTML.
function el(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === false || value === null || value === undefined) continue;
    if (name.startsWith('on')) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? '' : value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

const button = (text, onclick, attributes = {}) => el('button', {type: 'button', onclick, ...attributes}, text);

// A button that acts on its second press, made within three seconds of the first.
function askTwice(target, question, action) {
  const text = target.textContent;
  let armed = 0;
  target.addEventListener('click', () => {
    if (armed) {
      disarm();
      action();
    } else {
      target.textContent = question;
      armed = setTimeout(disarm, 3000);
    }
  });
  function disarm() {
    clearTimeout(armed);
    armed = 0;
    target.textContent = text;
  }
}

// Buttons of which one is chosen. Arrow keys move the choice, as in other radio groups.
function choice(group, options, chosen, onchange) {
  const radios = options.map(([value, text]) =>
    el('button', {type: 'button', role: 'radio', 'data-value': value, onclick: () => select(value)}, text));
  function select(value, silent = false) {
    for (const radio of radios) {
      const on = radio.dataset.value === value;
      radio.setAttribute('aria-checked', on);
      radio.tabIndex = on ? 0 : -1;
    }
    if (!silent) onchange(value);
  }
  group.addEventListener('keydown', (event) => {
    const step = {ArrowLeft: -1, ArrowUp: -1, ArrowRight: 1, ArrowDown: 1}[event.key];
    if (!step) return;
    event.preventDefault();
    const at = radios.findIndex((radio) => radio.getAttribute('aria-checked') === 'true');
    const next = radios[(at + step + radios.length) % radios.length];
    next.focus();
    select(next.dataset.value);
  });
  group.replaceChildren(...radios);
  select(chosen, true);
  return {select: (value) => select(value, true)};
}

async function copyText(text, target) {
  const before = target.textContent;
  try {
    await navigator.clipboard.writeText(text);
    target.textContent = 'Copied';
  } catch {
    target.textContent = 'Not allowed';  // a browser lets only pages of https or of this machine copy
  }
  setTimeout(() => { target.textContent = before; }, 1500);
}

// Hands a text to the user as a file.
function saveFile(name, text) {
  const url = URL.createObjectURL(new Blob([text], {type: 'application/json'}));
  el('a', {href: url, download: name}).click();
  setTimeout(() => URL.revokeObjectURL(url), 1000);
}

const formatNumber = (n, digits = 0) =>
  n.toLocaleString('en', {minimumFractionDigits: digits, maximumFractionDigits: digits});
// Three digits are enough for a speed.
const formatRate = (n) => formatNumber(n, n === 0 || n >= 100 ? 0 : n < 10 ? 2 : 1);
const formatTime = (ms) => (ms < 1000 ? `${formatNumber(ms, ms < 10 ? 1 : 0)} ms` : `${formatNumber(ms / 1000, 2)} s`);
const plural = (n, word) => `${formatNumber(n)} ${word}${n === 1 ? '' : 's'}`;

// A color of the style sheet, for canvases.
const themeColor = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

// Sizes a canvas to its box in device pixels. Returns its context, in CSS pixels, with width and height.
function prepareCanvas(canvas, height) {
  const scale = window.devicePixelRatio || 1;
  const width = canvas.clientWidth;
  canvas.style.height = `${height}px`;
  canvas.width = Math.round(width * scale);
  canvas.height = Math.round(height * scale);
  const context = canvas.getContext('2d');
  context.setTransform(scale, 0, 0, scale, 0, 0);
  return {context, width, height};
}

// Runs `draw` before the next frame, once however often it is asked for.
function onNextFrame(draw) {
  let asked = false;
  return () => {
    if (asked) return;
    asked = true;
    requestAnimationFrame(() => {
      asked = false;
      draw();
    });
  };
}
