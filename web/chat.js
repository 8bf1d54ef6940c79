// SPDX-License-Identifier: MIT
// The conversation that is shown, and the requests that continue it.

class ChatView {
  // `events`: onToken(token), onAnswer(tokens), onFirstToken(ms), onSaved(), onTrouble(text)
  constructor(settings, events) {
    this.settings = settings;
    Object.assign(this, events);
    this.root = byId('messages');
    this.views = new Map();  // by index, of the messages that are shown
    this.running = null;     // {chat, index, node, controller}
    this.pinned = null;
    this.model = '';
    this.show(newChat());
  }

  show(chat) {
    this.chat = chat;
    byId('system').value = chat.system ?? '';
    this.views.clear();
    this.onToken(null);
    const path = shownPath(chat);
    for (const index of path) this.views.set(index, new MessageView(this, index));
    this.root.replaceChildren(...[...this.views.values()].map((view) => view.root));
    if (path.length === 0)
      this.root.append(el('p', {class: 'empty'}, 'Ask something. The panel shows where each token goes.'));
    this.toEnd();
    this.onAnswer(path.map((i) => chat.nodes[i].routing).filter(Boolean).at(-1) ?? null);
    this.showButtons();
  }

  showButtons() {
    byId('send').hidden = Boolean(this.running);
    byId('stop').hidden = !this.running;
  }

  save(chat = this.chat) {
    try {
      saveChat(chat);
    } catch {
      this.onTrouble("The browser's storage is full: this conversation is not kept. Export it, or delete others.");
    }
    this.onSaved(chat);
  }

  // Sends a message after the last one that is shown. False where it cannot be sent; then nothing has changed.
  send(text) {
    return this.say(shownPath(this.chat).at(-1) ?? -1, text);
  }

  // Sends another version of a message.
  edit(index, text) {
    return this.say(this.chat.nodes[index].parent, text);
  }

  say(parent, text) {
    if (text.trim() === '') return false;
    return this.request(() => {
      if (this.chat.nodes.length === 0) this.chat.title = text.trim().split('\n')[0].slice(0, 60);
      return addNode(this.chat, parent, {role: 'user', text});
    });
  }

  // Asks for another answer to the same message.
  regenerate(index) {
    return this.request(() => this.chat.nodes[index].parent);
  }

  pick(index, step) {
    pickNode(this.chat, index);
    this.save();
    this.show(this.chat);
    const buttons = [...this.views.get(index).root.querySelectorAll('.versions button:enabled')];
    (buttons.find((b) => b.dataset.step === String(step)) ?? buttons[0])?.focus();
  }

  stop() { this.running?.controller.abort(); }

  pin(pinned) {
    this.pinned = pinned;
    for (const view of this.views.values()) view.pin(pinned);
  }

  // `question` makes or names the message to answer; it is called once the settings are known to be good.
  request(question) {
    if (this.running) return false;
    let settings;
    try {
      settings = this.settings.request();
    } catch (error) {
      this.onTrouble(error.message);
      return false;
    }
    this.onTrouble('');
    const index = addNode(this.chat, question(), {role: 'assistant', text: ''});
    this.running = {chat: this.chat, index, node: this.chat.nodes[index], controller: new AbortController()};
    this.save();
    this.show(this.chat);
    this.answer(this.running, settings);
    return true;
  }

  async answer(running, settings) {
    const {chat, index, node, controller} = running;
    const body = {model: this.model, messages: messagesUpTo(chat, node.parent), stream: true,
                  stream_options: {include_usage: true}, return_progress: true, ...settings};
    const redraw = onNextFrame(() => this.redraw(running));
    const beganMs = performance.now();
    try {
      const response = await ask('v1/chat/completions', {body, signal: controller.signal});
      node.requestId = response.headers.get('x-request-id') ?? undefined;
      let done = false;
      for await (const event of eventsOf(response)) {
        if (event === null) done = true;
        else this.take(node, event, performance.now() - beganMs);
        redraw();
      }
      if (!done) throw new ServerError('the server ended the answer early', {away: true});
    } catch (error) {
      if (error.name === 'AbortError') node.finish = 'stopped';
      else if (error instanceof ServerError) node.error = error.message;
      else throw error;
    } finally {
      node.progress = undefined;
      this.running = null;
      this.save(chat);
      if (this.chat === chat) {
        const follow = this.atEnd();
        this.views.get(index)?.finish();
        if (follow) this.toEnd();
        byId('announce').textContent = node.error ?? `The answer has ${plural(node.nTokens ?? 0, 'token')}.`;
      }
      this.showButtons();
    }
  }

  // Adds what one event of the stream says.
  take(node, event, sinceMs) {
    const [choice] = event.choices ?? [];
    const {content, reasoning_content: reasoning} = choice?.delta ?? {};
    if (event.prompt_progress) {
      const {processed, total} = event.prompt_progress;
      node.progress = `Reading the prompt: ${formatNumber(processed)} of ${plural(total, 'token')}`;
    }
    if (content || reasoning) {
      if (node.firstTokenMs === undefined) this.onFirstToken(node.firstTokenMs = sinceMs);
      node.progress = undefined;
      node.text += content ?? '';
      if (reasoning) node.reasoning = (node.reasoning ?? '') + reasoning;
    }
    if (choice?.routing) {
      node.routing ??= [];
      node.routing.push(...choice.routing);
      this.onAnswer(node.routing);
    }
    if (choice?.finish_reason) node.finish = choice.finish_reason;
    if (event.moe) node.moe = event.moe;
    if (event.warnings) node.warnings = event.warnings;
    if (event.usage) {
      node.nPrompt = event.usage.prompt_tokens;
      node.nCached = event.usage.prompt_tokens_details?.cached_tokens;
      node.nTokens = event.usage.completion_tokens;
    }
    if (event.timings) node.perSecond = event.timings.predicted_per_second;
  }

  atEnd() { return this.root.scrollHeight - this.root.scrollTop - this.root.clientHeight < 40; }

  toEnd() { this.root.scrollTop = this.root.scrollHeight; }

  redraw({chat, index}) {
    if (this.chat !== chat) return;
    const follow = this.atEnd();
    this.views.get(index)?.update();
    if (follow) this.toEnd();
  }
}
