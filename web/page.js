// SPDX-License-Identifier: MIT
// Puts the parts together: conversations on the left, the header, keys, and what the server reports.

const settings = new Settings();
const charts = new Charts();
const map = new HeatMap((cell) => view.pin(cell));
const view = new ChatView(settings, {
  onToken: (token) => {
    map.markToken(token);
    showToken(token, map.layers);
    if (token) byId('announce').textContent = tokenText(token);
  },
  onAnswer: (tokens) => map.setAnswer(tokens),
  onFirstToken: (ms) => charts.firstToken.push(ms),
  onSaved: (chat) => {
    if (!chats.includes(chat) && chat.nodes.length > 0 && !chat.removed) chats.push(chat);
    listChats();
  },
  onTrouble: showTrouble,
});

const tokenText = (token) => `${JSON.stringify(token.text)}: ` +
  token.layers.map(({layer, experts}) => `layer ${layer} experts ${experts.join(' ')}`).join('; ');

function showTrouble(text) {
  byId('trouble').textContent = text;
  byId('trouble').hidden = text === '';
}

// Conversations.

let {chats, unreadable} = loadChats();
if (unreadable > 0) showTrouble(`${plural(unreadable, 'conversation')} cannot be read and will be left as found.`);

function listChats() {
  chats.sort((a, b) => b.changed - a.changed);
  byId('chat-list').replaceChildren(...chats.map((chat) => {
    const current = chat === view.chat;
    const open = button(chat.title || 'Untitled', () => openChat(chat), {'aria-current': String(current)});
    if (!current) return el('li', {}, open);
    const remove = button('Delete', null, {class: 'quiet', 'data-act': 'delete'});
    askTwice(remove, 'Delete for good?', () => deleteChats([chat]));
    return el('li', {}, open, el('div', {class: 'row'},
      button('Export', () => exportChats([chat]), {class: 'quiet'}), remove));
  }));
  byId('export-all').disabled = byId('delete-all').disabled = chats.length === 0;
}

function openChat(chat) {
  view.show(chat);
  listChats();
  closeDrawer();
  byId('prompt').focus();
}

function deleteChats(gone) {
  if (gone.includes(view.running?.chat)) view.stop();
  gone.forEach(removeChat);
  chats = chats.filter((chat) => !gone.includes(chat));
  if (gone.includes(view.chat)) view.show(newChat());
  listChats();
}

const exportChats = (list) => saveFile('switchyard-conversations.json', JSON.stringify({conversations: list}, null, 1));

byId('new-chat').addEventListener('click', () => openChat(newChat()));
byId('export-all').addEventListener('click', () => exportChats(chats));
askTwice(byId('delete-all'), 'Delete all for good?', () => deleteChats(chats));
byId('system').addEventListener('change', () => {
  view.chat.system = byId('system').value;
  view.save();
});
// Another tab has changed something.
addEventListener('storage', (event) => {
  if (!event.key?.startsWith(chatPrefix) || view.running) return;
  const open = view.chat.id;
  ({chats} = loadChats());
  const again = chats.find((chat) => chat.id === open);
  if (again) view.show(again);
  listChats();
});

// The composer.

const prompt = byId('prompt');
byId('composer').addEventListener('submit', (event) => {
  event.preventDefault();
  if (view.send(prompt.value)) prompt.value = '';
});
prompt.addEventListener('keydown', (event) => {
  if (event.key !== 'Enter' || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  byId('composer').requestSubmit();
});
byId('stop').addEventListener('click', () => {
  view.stop();
  prompt.focus();
});
if (!CSS.supports('field-sizing', 'content')) prompt.rows = 3;  // it cannot grow with its text
// A link may fill in a message. Sending it is the user's to do.
prompt.value = new URLSearchParams(location.search).get('q') ?? '';

// The look.

const themes = ['auto', 'light', 'dark'];
const themeName = 'switchyard.theme';
const prefersDark = matchMedia('(prefers-color-scheme: dark)');
let theme = themes.includes(localStorage.getItem(themeName)) ? localStorage.getItem(themeName) : 'auto';

function showTheme() {
  document.documentElement.dataset.theme = theme === 'auto' ? (prefersDark.matches ? 'dark' : 'light') : theme;
  byId('theme').textContent = `Theme: ${theme}`;
  map.draw();
  charts.redraw();
}
byId('theme').addEventListener('click', () => {
  theme = themes[(themes.indexOf(theme) + 1) % themes.length];
  localStorage.setItem(themeName, theme);
  showTheme();
});
prefersDark.addEventListener('change', showTheme);

// Drawers, where there is no room for all columns.

function openDrawer(name) {
  document.body.dataset.open = name;
  for (const id of ['chats', 'panel']) byId(`open-${id}`).setAttribute('aria-expanded', id === name);
}
function closeDrawer() {
  const name = document.body.dataset.open;
  if (!name) return;
  openDrawer('');
  byId(`open-${name}`).focus();
}
for (const id of ['chats', 'panel']) {
  byId(`open-${id}`).addEventListener('click', () => {
    if (document.body.dataset.open === id) closeDrawer();
    else openDrawer(id);
  });
}
byId('main').addEventListener('pointerdown', () => { if (document.body.dataset.open) openDrawer(''); });

// Keys.

const lastButton = (act) => [...document.querySelectorAll(`#messages [data-act=${act}]`)].at(-1);
const keys = [
  ['/', 'Go to the message field', () => prompt.focus()],
  ['n', 'New chat', () => openChat(newChat())],
  ['r', 'Another answer to the last message', () => lastButton('regenerate')?.click()],
  ['e', 'Edit the last message', () => lastButton('edit')?.click()],
  ['t', "The last answer's tokens: arrow keys go through them", () => {
    lastButton('tokens')?.click();
    [...document.querySelectorAll('#messages .tokens')].at(-1)?.focus();
  }],
  ['m', 'Go to the map: arrow keys move, Enter pins an expert', () => {
    openDrawer(getComputedStyle(byId('panel')).display === 'none' ? 'panel' : document.body.dataset.open ?? '');
    byId('map').focus();
  }],
  ['x', 'Go to the number of experts', () => byId('set-experts_decode').focus()],
  ['?', 'These keys', showKeys],
];
const singleKeysName = 'switchyard.single-keys';
const singleKeys = byId('single-keys');
singleKeys.checked = localStorage.getItem(singleKeysName) !== 'off';
singleKeys.addEventListener('change', () => localStorage.setItem(singleKeysName, singleKeys.checked ? 'on' : 'off'));

function showKeys() { byId('keys').showModal(); }
byId('help').addEventListener('click', showKeys);
const fixedKeys = [['Enter', 'Send'], ['Shift+Enter', 'New line'], ['Esc', 'Stop the answer; close a drawer']];
byId('keys-list').replaceChildren(
  ...[...fixedKeys, ...keys].flatMap(([key, text]) => [el('dt', {}, key), el('dd', {}, text)]));

document.addEventListener('keydown', (event) => {
  if (byId('keys').open || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === 'Escape') {
    if (view.running) view.stop();
    else closeDrawer();
    return;
  }
  if (!singleKeys.checked || event.target.matches('input:not([type=range]):not([type=checkbox]), textarea')) return;
  const found = keys.find(([key]) => key === event.key);
  if (!found) return;
  event.preventDefault();
  found[2]();
});

// The server.

function takeCounts({layers, server}) {
  map.setCounts(layers);
  showRealExperts(layers);
  charts.take(server);
}

async function meetServer() {
  try {
    const models = await askJson('v1/models');
    view.model = models.data?.[0]?.id ?? '';
    byId('model').textContent = view.model;
    byId('model').title = view.model;
    const props = await askJson('props');
    settings.setModel(props.moe.layers.length > 0 ? props.moe : null);
    settings.setDefaults(props.default_generation_settings);
  } catch (error) {
    if (!(error instanceof ServerError)) throw error;
    if (!error.away) showTrouble(error.message);
  }
}

function showState(state, detail) {
  const texts = {
    ready: 'ready',
    away: `server away, next try in ${detail} s`,
    loading: detail === undefined ? 'loading' : `loading the model, ${Math.round(detail * 100)} %`,
    key: apiKey() ? 'the key is not accepted' : 'needs a key',
    trouble: detail,
  };
  if (byId('state').textContent !== texts[state]) byId('state').textContent = texts[state];
  if (state === 'ready' && byId('state').dataset.state !== 'ready') meetServer();
  byId('state').dataset.state = state;
  byId('key-form').hidden = state !== 'key';
}

const following = followRouting(takeCounts, showState);
byId('key-form').addEventListener('submit', (event) => {
  event.preventDefault();
  sessionStorage.setItem(keyName, byId('key').value);
  byId('key').value = '';
  following.retry();
});

showTheme();
listChats();
if (matchMedia('(min-width: 761px)').matches) prompt.focus();
