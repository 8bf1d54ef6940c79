// SPDX-License-Identifier: MIT
// The insides of a Markdown block: emphasis, code, links.

const inlineMark = /[\\`*_~[!<]|https?:\/\//g;
const isWord = (character) => character !== undefined && /[\p{L}\p{N}_]/u.test(character);
const isSpace = (character) => character === undefined || /\s/.test(character);

// Appends the nodes of `text` to `element` and returns it.
function inlineInto(element, text, depth = 0) {
  const absent = new Set();  // marks that do not come any more, so that nobody looks for them again
  const find = (mark, from) => {
    if (absent.has(mark)) return -1;
    const at = text.indexOf(mark, from);
    if (at < 0) absent.add(mark);
    return at;
  };
  const marks = new RegExp(inlineMark);
  let done = 0;
  let plain = '';
  for (let match; (match = marks.exec(text));) {
    const span = inlineSpan(text, match, find, depth);
    if (!span) {
      marks.lastIndex = match.index + runLength(text, match.index);
      continue;
    }
    plain += text.slice(done, match.index);
    if (typeof span.node === 'string') {
      plain += span.node;
    } else {
      element.append(plain, span.node);
      plain = '';
    }
    done = marks.lastIndex = span.end;
  }
  element.append(plain + text.slice(done));
  return element;
}

// How often the character at `at` is repeated.
function runLength(text, at) {
  let end = at + 1;
  while (text[end] === text[at]) ++end;
  return end - at;
}

// The span that a mark opens: its node, or its text, and where it ends. Null where it opens none.
function inlineSpan(text, match, find, depth) {
  const at = match.index;
  switch (text[at]) {
    case '\\': return /[!-/:-@[-`{-~]/.test(text[at + 1] ?? '') ? {node: text[at + 1], end: at + 2} : null;
    case '`': return codeSpan(text, at, find);
    case '[': return linkSpan(text, at, '');
    case '!': return text[at + 1] === '[' ? linkSpan(text, at + 1, 'image: ') : null;
    case '<': return angleSpan(text, at);
    case 'h': return urlSpan(text, at);
    default: return emphasisSpan(text, at, find, depth);
  }
}

function codeSpan(text, at, find) {
  const n = runLength(text, at);
  const mark = '`'.repeat(n);
  for (let end = find(mark, at + n); end >= 0;) {
    const nEnd = runLength(text, end);
    if (nEnd === n) {
      const code = text.slice(at + n, end).replace(/^ (.*[^ ].*) $/, '$1');
      return {node: el('code', {}, code), end: end + n};
    }
    end = find(mark, end + nEnd);
  }
  return null;
}

// [label](url). An image is shown as a link: the page loads nothing from elsewhere.
function linkSpan(text, bracket, prefix) {
  const window = text.slice(bracket, bracket + maxLink);
  const middle = window.indexOf('](');
  const end = middle < 0 ? -1 : window.indexOf(')', middle);
  if (end < 0) return null;
  const label = window.slice(1, middle);
  const url = safeUrl(window.slice(middle + 2, end).split(/\s/)[0]);
  if (!url || label.includes('[')) return null;
  return {node: link(url, prefix + label), end: bracket + end + 1};
}

function angleSpan(text, at) {
  const end = text.slice(at, at + maxLink).indexOf('>');
  const url = end < 0 ? null : safeUrl(text.slice(at + 1, at + end));
  return url ? {node: link(url, text.slice(at + 1, at + end)), end: at + end + 1} : null;
}

function urlSpan(text, at) {
  if (isWord(text[at - 1])) return null;
  let end = at + /^[^\s<>"'`\\|]*/.exec(text.slice(at, at + maxLink))[0].length;
  const brackets = text.slice(at, end);
  if (brackets.endsWith(')') && !brackets.includes('(')) --end;
  while (end > at && '.,;:!?*_~'.includes(text[end - 1])) --end;
  const url = safeUrl(text.slice(at, end));
  return url ? {node: link(url, text.slice(at, end)), end} : null;
}

function emphasisSpan(text, at, find, depth) {
  const n = runLength(text, at);
  const tag = text[at] === '~' ? {2: 'del'}[n] : {1: 'em', 2: 'strong', 3: 'strong'}[n];
  if (!tag || depth >= maxDepth || isSpace(text[at + n])) return null;
  if (text[at] === '_' && isWord(text[at - 1])) return null;  // snake_case
  const mark = text[at].repeat(n);
  let end = find(mark, at + n);
  for (let i = 0; i < maxCandidates && end >= 0; ++i) {
    const nEnd = runLength(text, end);
    if (nEnd === n && !isSpace(text[end - 1]) && !(text[at] === '_' && isWord(text[end + n]))) {
      const inner = inlineInto(el(tag), text.slice(at + n, end), depth + 1);
      return {node: n === 3 ? el('em', {}, inner) : inner, end: end + n};
    }
    end = find(mark, end + nEnd);
  }
  return null;
}
