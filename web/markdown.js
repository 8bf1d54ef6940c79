// SPDX-License-Identifier: MIT
// Markdown to DOM nodes. A model's text is hostile input: it becomes text nodes and a fixed set of elements,
// HTML in it stays text, and every scan is bounded, so that no text takes longer than its length.

const maxDepth = 8;           // of quotes and lists in each other, and of emphasis
const maxLink = 2000;         // characters from [ to )
const maxCandidates = 8;      // closing marks that are looked at for one opening mark

// A link to follow, or null: other protocols than http(s) stay text.
function safeUrl(text) {
  try {
    const url = new URL(text);
    return url.protocol === 'http:' || url.protocol === 'https:' ? url.href : null;
  } catch {
    return null;
  }
}

const link = (url, ...children) =>
  el('a', {href: url, rel: 'noopener noreferrer', target: '_blank', title: url}, ...children);

const isFence = (line) => /^ {0,3}(`{3,}|~{3,})[ \t]*([^\s`]*)/.exec(line);
const isItem = (line) => /^( {0,3})([-*+]|\d{1,9}[.)])(?: {1,4}|\t|$)/.exec(line);
const isRule = (line) => /^ {0,3}([-*_])(?: *\1){2,} *$/.test(line);
const isHeading = (line) => /^ {0,3}(#{1,6})(?:[ \t]|$)/.exec(line);
const isQuote = (line) => /^ {0,3}> ?/.exec(line);
const isBlank = (line) => line.trim() === '';
const cellsOf = (line) => line.trim().replace(/^\|/, '').replace(/\|$/, '').split('|').map((cell) => cell.trim());
const isDelimiter = (line) => line !== undefined && line.includes('-') && line.includes('|') &&
  cellsOf(line).every((cell) => /^:?-+:?$/.test(cell));
const startsBlock = (line) => isFence(line) || isHeading(line) || isQuote(line) || isRule(line) || isItem(line);

// Each of these reads one block at line `at` and returns it with `end`, the line after it.
function readFence(lines, at) {
  const [, mark, language] = isFence(lines[at]);
  let end = at + 1;
  while (end < lines.length) {
    const line = lines[end].trim();
    if (line.length >= mark.length && line === mark[0].repeat(line.length)) break;
    ++end;
  }
  return {kind: 'code', language, text: lines.slice(at + 1, end).join('\n'), end: Math.min(end + 1, lines.length)};
}

function readQuote(lines, at) {
  let end = at;
  const inner = [];
  for (let mark; end < lines.length && (mark = isQuote(lines[end])); ++end)
    inner.push(lines[end].slice(mark[0].length));
  return {kind: 'quote', text: inner.join('\n'), end};
}

function readList(lines, at) {
  const ordered = /\d/.test(isItem(lines[at])[2]);
  const items = [];
  let indent = 0;
  let end = at;
  for (; end < lines.length; ++end) {
    const line = lines[end];
    const item = isItem(line);
    if (end === at || (item && !isRule(line) && /\d/.test(item[2]) === ordered && item[1].length < indent)) {
      indent = item[0].length;
      items.push([line.slice(item[0].length)]);
    } else if (isBlank(line)) {
      const next = lines[end + 1];
      if (next === undefined || !(next.startsWith(' '.repeat(indent)) || isItem(next))) break;
      items.at(-1).push('');
    } else if (line.startsWith(' '.repeat(indent))) {
      items.at(-1).push(line.slice(indent));
    } else if (startsBlock(line)) {
      break;
    } else {
      items.at(-1).push(line);  // a paragraph's lazy continuation
    }
  }
  const start = ordered ? parseInt(isItem(lines[at])[2], 10) : 1;
  return {kind: 'list', ordered, start, items: items.map((item) => item.join('\n')), end};
}

function readTable(lines, at) {
  const align = cellsOf(lines[at + 1]).map((cell) =>
    (cell.endsWith(':') ? (cell.startsWith(':') ? 'center' : 'right') : 'left'));
  let end = at + 2;
  while (end < lines.length && lines[end].includes('|') && !isBlank(lines[end])) ++end;
  return {kind: 'table', align, head: cellsOf(lines[at]), rows: lines.slice(at + 2, end).map(cellsOf), end};
}

function readParagraph(lines, at) {
  let end = at + 1;
  while (end < lines.length && !isBlank(lines[end]) && !startsBlock(lines[end])) ++end;
  return {kind: 'paragraph', text: lines.slice(at, end).join('\n'), end};
}

function readBlock(lines, at) {
  const line = lines[at];
  const heading = isHeading(line);
  if (isFence(line)) return readFence(lines, at);
  if (heading) {
    const text = line.trim().slice(heading[1].length).replace(/\s#+$/, '').trim();
    return {kind: 'heading', level: heading[1].length, text, end: at + 1};
  }
  if (isRule(line)) return {kind: 'rule', end: at + 1};
  if (isQuote(line)) return readQuote(lines, at);
  if (isItem(line)) return readList(lines, at);
  if (line.includes('|') && isDelimiter(lines[at + 1])) return readTable(lines, at);
  return readParagraph(lines, at);
}

// The blocks of a text, each with the source that it was made from.
function markdownBlocks(text) {
  const lines = text.split('\n');
  const blocks = [];
  for (let at = 0; at < lines.length;) {
    if (isBlank(lines[at])) {
      ++at;
      continue;
    }
    const block = readBlock(lines, at);
    block.source = lines.slice(at, block.end).join('\n');
    at = block.end;
    blocks.push(block);
  }
  return blocks;
}

function codeNode(block) {
  const copy = button('Copy', () => copyText(block.text, copy), {class: 'quiet', 'aria-label': 'Copy code'});
  return el('figure', {class: 'code'}, el('figcaption', {}, el('span', {}, block.language || 'text'), copy),
            el('pre', {tabindex: 0}, el('code', {}, block.text)));
}

function tableNode(block) {
  const row = (cells, tag) => el('tr', {}, ...block.align.map((align, i) =>
    inlineInto(el(tag, {class: `align-${align}`}), cells[i] ?? '')));
  const head = el('thead', {}, row(block.head, 'th'));
  const body = el('tbody', {}, ...block.rows.map((cells) => row(cells, 'td')));
  return el('div', {class: 'scroll-x', tabindex: 0}, el('table', {}, head, body));
}

function blockNode(block, depth = 0) {
  const nested = (element, text) => {
    if (depth < maxDepth) return blocksInto(element, text, depth + 1);
    element.append(text);
    return element;
  };
  switch (block.kind) {
    case 'code': return codeNode(block);
    case 'heading': return inlineInto(el(`h${Math.min(block.level + 2, 6)}`), block.text);
    case 'rule': return el('hr');
    case 'quote': return nested(el('blockquote'), block.text);
    case 'list': return el(block.ordered ? 'ol' : 'ul', {start: block.start !== 1 && block.start},
                           ...block.items.map((item) => nested(el('li'), item)));
    case 'table': return tableNode(block);
    default: return inlineInto(el('p'), block.text);
  }
}

function blocksInto(element, text, depth) {
  const blocks = markdownBlocks(text);
  // An item of one paragraph is its text.
  if (element.tagName === 'LI' && blocks[0]?.kind === 'paragraph') inlineInto(element, blocks.shift().text);
  element.append(...blocks.map((block) => blockNode(block, depth)));
  return element;
}

// Shows `text` in `element`, where an earlier, shorter text may be: blocks that stay the same stay in place.
function showMarkdown(element, text) {
  const blocks = markdownBlocks(text);
  const shown = element.shownBlocks ?? [];
  let same = 0;
  while (same < blocks.length && same < shown.length && blocks[same].source === shown[same]) ++same;
  while (element.childNodes.length > same) element.lastChild.remove();
  for (const block of blocks.slice(same)) element.append(blockNode(block));
  element.shownBlocks = blocks.map((block) => block.source);
}
