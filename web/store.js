// SPDX-License-Identifier: MIT
// Conversations, kept in the browser. Nothing that was said is overwritten: a conversation is a tree. Editing
// a message or asking for another answer adds a sibling, and each message remembers which of its successors is shown.
//
//   {id, title, system, changed, nodes: [{parent, picked, role, text, ...}], picked}
//
// `parent` and `picked` are indices into nodes, -1 for the beginning and for nothing.

const chatPrefix = 'switchyard.chat.';

const newChat = () => ({id: crypto.getRandomValues(new Uint32Array(2)).join('-'), title: '', system: '',
                        changed: Date.now(), nodes: [], picked: -1});

function isChat(chat) {
  const isIndex = (i, least, end) => Number.isInteger(i) && i >= least && i < end;
  const isNode = (node, i) => node && typeof node.text === 'string' && ['user', 'assistant'].includes(node.role) &&
    isIndex(node.parent, -1, i) && (node.picked === -1 || isIndex(node.picked, i + 1, chat.nodes.length));
  return chat && typeof chat.id === 'string' && typeof chat.title === 'string' && Array.isArray(chat.nodes) &&
    isIndex(chat.picked, -1, chat.nodes.length) && chat.nodes.every(isNode);
}

// The stored conversations, the newest first. What cannot be read stays where it is and is counted.
function loadChats() {
  const chats = [];
  let unreadable = 0;
  for (let i = 0; i < localStorage.length; ++i) {
    const key = localStorage.key(i);
    if (!key.startsWith(chatPrefix)) continue;
    try {
      const chat = JSON.parse(localStorage.getItem(key));
      if (!isChat(chat) || key !== chatPrefix + chat.id) throw new Error('not a conversation');
      chats.push(chat);
    } catch {
      ++unreadable;
    }
  }
  chats.sort((a, b) => b.changed - a.changed);
  return {chats, unreadable};
}

// Throws where the browser's storage is full. Routing is too large to keep: it lives as long as the page.
function saveChat(chat) {
  if (chat.nodes.length === 0 || chat.removed) return;
  chat.changed = Date.now();
  const text = JSON.stringify(chat, (key, value) => (key === 'routing' ? undefined : value));
  localStorage.setItem(chatPrefix + chat.id, text);
}

// An answer may still be coming for it: it is not saved again.
function removeChat(chat) {
  chat.removed = true;
  localStorage.removeItem(chatPrefix + chat.id);
}

const siblingsOf = (chat, index) =>
  chat.nodes.flatMap((node, i) => (node.parent === chat.nodes[index].parent ? [i] : []));

function pickNode(chat, index) {
  const {parent} = chat.nodes[index];
  if (parent < 0) chat.picked = index;
  else chat.nodes[parent].picked = index;
}

// Adds a message after `parent` (-1: at the beginning), shows it and returns its index.
function addNode(chat, parent, node) {
  chat.nodes.push({parent, picked: -1, ...node});
  pickNode(chat, chat.nodes.length - 1);
  return chat.nodes.length - 1;
}

// The indices of the messages that are shown, in order.
function shownPath(chat) {
  const path = [];
  for (let i = chat.picked; i >= 0; i = chat.nodes[i].picked) path.push(i);
  return path;
}

// What a request sends: the system message and the messages up to and with `last`.
function messagesUpTo(chat, last) {
  const messages = [];
  for (let i = last; i >= 0; i = chat.nodes[i].parent) {
    const {role, text, reasoning} = chat.nodes[i];
    messages.unshift({role, content: text, ...(reasoning && {reasoning_content: reasoning})});
  }
  if (chat.system?.trim()) messages.unshift({role: 'system', content: chat.system});
  return messages;
}
