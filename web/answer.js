// SPDX-License-Identifier: MIT
// One message on the page.

// What a request came to, as a line of facts.
function answerFacts(node) {
  const facts = [];
  if (node.moe)
    facts.push(el('span', {class: 'echo', title: 'The routing that was really used'}, routingText(node.moe)));
  if (node.nTokens !== undefined) facts.push(plural(node.nTokens, 'token'));
  if (node.perSecond) facts.push(`${formatRate(node.perSecond)} t/s`);
  if (node.firstTokenMs !== undefined) facts.push(`TTFT ${formatTime(node.firstTokenMs)}`);
  if (node.nPrompt !== undefined)
    facts.push(`prompt ${formatNumber(node.nPrompt)}${node.nCached ? ` (${formatNumber(node.nCached)} cached)` : ''}`);
  const ends = {length: 'cut at the limit', stopped: 'stopped', content_filter: 'filtered'};
  if (ends[node.finish]) facts.push(ends[node.finish]);
  return facts.map((fact) => el('li', {}, fact));
}

// The text as the tokens that it came as. Pointer or arrow keys choose one, which stays chosen: `onToken` gets
// its index.
class TokenView {
  constructor(onToken) {
    this.onToken = onToken;
    this.at = -1;
    this.root = el('div', {class: 'tokens', tabindex: 0, role: 'application', 'aria-roledescription': 'tokens',
                           'aria-label': 'Tokens of this answer: arrow keys go through them'});
    this.root.addEventListener('pointerover', (event) => {
      if (event.target.dataset.token) this.choose(Number(event.target.dataset.token));
    });
    this.root.addEventListener('keydown', (event) => {
      const step = {ArrowLeft: -1, ArrowRight: 1, Home: -Infinity, End: Infinity}[event.key];
      if (!step) return;
      event.preventDefault();
      this.choose(Math.min(Math.max(this.at + step, 0), this.root.children.length - 1));
      this.root.children[this.at]?.scrollIntoView({block: 'nearest'});
    });
  }

  // Adds the tokens that have come since.
  show(tokens, pinned) {
    for (let i = this.root.children.length; i < tokens.length; ++i) {
      const {text} = tokens[i];
      const blank = text.includes('\n') && text.trim() === '';  // gets a sign that a pointer can reach
      const span = el('span', {class: blank ? 'token blank' : 'token', 'data-token': i}, text === '' ? '\u00b7' : text);
      this.root.append(span);
      this.shade(span, tokens[i], pinned);
    }
  }

  // Shades the tokens that the pinned expert worked on, by its weight.
  pin(tokens, pinned) {
    for (const [i, span] of [...this.root.children].entries()) this.shade(span, tokens[i], pinned);
  }

  shade(span, token, pinned) {
    const {experts, weights} = (pinned && layerOf(token, pinned.layer)) || {experts: [], weights: []};
    const slot = pinned ? experts.indexOf(pinned.expert) : -1;
    span.classList.toggle('hit', slot >= 0);
    span.style.setProperty('--share', slot < 0 ? 0 : weights[slot] / (Math.max(...weights) || 1));
  }

  choose(at) {
    if (at === this.at) return;
    this.root.children[this.at]?.classList.remove('chosen');
    this.at = at;
    this.root.children[at]?.classList.add('chosen');
    this.onToken(at);
  }
}

// A message with its buttons. `chat` is the ChatView, `index` the message's in its conversation.
class MessageView {
  constructor(chat, index) {
    this.chat = chat;
    this.index = index;
    this.node = chat.chat.nodes[index];
    this.body = el('div', {class: 'body'});
    this.note = el('p', {class: 'note', hidden: true});
    this.facts = el('ul', {class: 'facts mono'});
    this.actions = el('div', {class: 'actions'});
    const name = this.node.role === 'user' ? 'You' : 'Model';
    this.root = el('article', {class: `message ${this.node.role}`, 'aria-label': name},
                   el('div', {class: 'from'}, name), this.body, this.note,
                   el('div', {class: 'foot'}, this.facts, this.actions));
    if (this.node.role === 'assistant') this.makeReasoning();
    this.update();
    this.makeActions();
  }

  makeReasoning() {
    this.reasoning = el('div', {class: 'reasoning-text'});
    this.summary = el('summary', {}, 'Reasoning');
    this.fold = el('details', {class: 'reasoning', hidden: true}, this.summary, this.reasoning);
    this.root.insertBefore(this.fold, this.body);
  }

  get running() { return this.chat.running?.node === this.node; }

  makeActions() {
    const {node, index, chat} = this;
    const quiet = {class: 'quiet'};
    const copy = button('Copy', () => copyText(node.text, copy), quiet);
    const buttons = [copy];
    if (node.role === 'user') {
      buttons.unshift(button('Edit', () => this.edit(), {...quiet, 'data-act': 'edit'}));
    } else {
      buttons.unshift(button('Regenerate', () => chat.regenerate(index), {...quiet, 'data-act': 'regenerate'}));
      if (node.routing?.length > 0) {
        this.toggle = button('Tokens', () => this.toggleTokens(),
                             {...quiet, 'data-act': 'tokens', 'aria-pressed': String(Boolean(this.tokens))});
        buttons.push(this.toggle);
      }
    }
    this.actions.replaceChildren(...this.versions(), ...(this.running ? [] : buttons));
  }

  versions() {
    const siblings = siblingsOf(this.chat.chat, this.index);
    if (siblings.length < 2) return [];
    const at = siblings.indexOf(this.index);
    const go = (step, text, label) => button(text, () => this.chat.pick(siblings[at + step], step),
      {class: 'quiet', disabled: siblings[at + step] === undefined, 'aria-label': label, 'data-step': step});
    return [el('span', {class: 'versions mono'}, go(-1, '<', 'Previous version'), `${at + 1}/${siblings.length}`,
               go(1, '>', 'Next version'))];
  }

  // Shows what the message holds by now.
  update() {
    const {node} = this;
    if (node.role === 'user') this.body.textContent = node.text;
    else this.updateAnswer();
    const warnings = (node.warnings ?? []).map(({param, message}) => `${param}: ${message}`);
    const lines = [node.error, ...warnings, this.running && node.progress].filter(Boolean);
    this.note.hidden = lines.length === 0;
    this.note.classList.toggle('trouble', Boolean(node.error));
    this.note.textContent = lines.join('\n');
    this.facts.replaceChildren(...answerFacts(node));
    if (node.requestId) this.facts.title = `Request ${node.requestId}`;
    this.root.classList.toggle('running', this.running);
  }

  updateAnswer() {
    const {node} = this;
    this.fold.hidden = !node.reasoning;
    if (node.reasoning && this.reasoning.textContent.length !== node.reasoning.length) {
      this.reasoning.textContent = node.reasoning;
      this.summary.textContent = node.text ? 'Reasoning' : 'Reasoning...';
    }
    if (this.tokens) this.tokens.show(node.routing, this.chat.pinned);
    else showMarkdown(this.body, node.text);
  }

  finish() {
    if (this.summary) this.summary.textContent = 'Reasoning';
    this.update();
    this.makeActions();
  }

  toggleTokens() {
    const {node, chat} = this;
    const follow = chat.atEnd();
    if (this.tokens) {
      this.tokens = null;
      this.body.replaceChildren();
      this.body.shownBlocks = [];
      chat.onToken(null);
    } else {
      this.tokens = new TokenView((at) => chat.onToken(node.routing[at]));
      this.body.replaceChildren(this.tokens.root);
      chat.onAnswer(node.routing);
    }
    this.toggle.setAttribute('aria-pressed', Boolean(this.tokens));
    this.update();
    if (follow) chat.toEnd();
  }

  pin(pinned) { this.tokens?.pin(this.node.routing, pinned); }

  edit() {
    const rows = Math.min(this.node.text.split('\n').length + 1, 12);
    const text = el('textarea', {'aria-label': 'Edited message', rows});
    text.value = this.node.text;
    const close = () => {
      this.body.replaceChildren();
      this.update();
      this.actions.querySelector('[data-act=edit]').focus();
    };
    const send = () => this.chat.edit(this.index, text.value);
    text.addEventListener('keydown', (event) => {
      if (event.key === 'Escape') close();
      else if (event.key === 'Enter' && !event.shiftKey && !event.isComposing) send();
      else return;
      event.preventDefault();
      event.stopPropagation();
    });
    this.body.replaceChildren(text, el('div', {class: 'row'}, button('Send', send), button('Cancel', close)));
    text.focus();
  }
}
