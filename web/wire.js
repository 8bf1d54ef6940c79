// SPDX-License-Identifier: MIT
// Talks to the server that the page came from, and to no other.

// What the server, or the way to it, has against a request; `message` is one line for the user.
class ServerError extends Error {
  constructor(message, details = {}) {
    super(message);
    Object.assign(this, details);  // status; away: there was no answer, or no whole one
  }
}

const keyName = 'switchyard.key';
const apiKey = () => sessionStorage.getItem(keyName) ?? '';

async function errorOf(response) {
  let error = {};
  try {
    error = (await response.json()).error ?? {};
  } catch {
    // Something between the browser and the server answered.
  }
  const parts = [error.message ?? `the server answered with status ${response.status}`];
  if (error.param) parts.push(`(${error.param})`);
  const retryAfter = response.headers.get('Retry-After');
  if (retryAfter) parts.push(`- try again in ${retryAfter} s`);
  return new ServerError(parts.join(' '), {status: response.status});
}

// The server's answer to GET, or to POST where there is a body. Throws ServerError.
async function ask(path, {body, signal, accept} = {}) {
  const headers = {};
  if (accept) headers.Accept = accept;
  if (body) headers['Content-Type'] = 'application/json';
  if (apiKey()) headers.Authorization = `Bearer ${apiKey()}`;
  let response;
  try {
    response = await fetch(path, {method: body ? 'POST' : 'GET', body: body && JSON.stringify(body), headers, signal,
                                  cache: 'no-store', credentials: 'omit'});
  } catch (error) {
    if (error.name === 'AbortError') throw error;
    throw new ServerError('the server does not answer', {away: true});
  }
  if (!response.ok) throw await errorOf(response);
  return response;
}

const askJson = async (path) => (await ask(path)).json();

// The events of a stream, parsed, up to its end or to "[DONE]". `onBytes` hears of everything that arrives,
// comments too. Throws ServerError where the stream breaks off or reports an error.
async function* eventsOf(response, onBytes = () => {}) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = '';
  try {
    for (;;) {
      const {value, done} = await reader.read();
      if (done) return;
      onBytes();
      const frames = (rest + value).split(/\r?\n\r?\n/);
      rest = frames.pop();
      for (const frame of frames) {
        const data = frame.split(/\r?\n/).filter((line) => line.startsWith('data:'))
          .map((line) => line.slice(5).trimStart());
        if (data.length === 0) continue;
        if (data[0] === '[DONE]') {
          yield null;
          return;
        }
        const event = JSON.parse(data.join('\n'));
        if (event.error) throw new ServerError(event.error.message ?? 'the server ended the answer');
        yield event;
      }
    }
  } catch (error) {
    if (error.name === 'AbortError' || error instanceof ServerError) throw error;
    if (error instanceof SyntaxError) throw new ServerError('the server sent an event that is not JSON');
    throw new ServerError('the connection to the server broke off', {away: true});
  } finally {
    reader.cancel().catch(() => {});
  }
}

const silenceMs = 30000;  // the server sends comments while it has nothing to say
const longestWaitMs = 10000;

// Follows /v1/moe while the page is visible: `onCounts` gets each of its states, `onState` gets
// 'ready', 'away' (with the seconds to the next try), 'loading' (with a share) or 'key'.
function followRouting(onCounts, onState) {
  let stopping = new AbortController();
  let wake = () => {};
  let hidden = document.hidden;

  async function follow() {
    const silence = {timer: 0};
    const heard = () => {
      clearTimeout(silence.timer);
      silence.timer = setTimeout(() => stopping.abort(), silenceMs);
    };
    try {
      const response = await ask('v1/moe', {accept: 'text/event-stream', signal: stopping.signal});
      onState('ready');
      heard();
      for await (const event of eventsOf(response, heard)) if (event) onCounts(event);
    } finally {
      clearTimeout(silence.timer);
    }
  }

  const pause = (ms) => new Promise((resolve) => {
    wake = resolve;
    if (ms !== Infinity) setTimeout(resolve, ms);
  });

  async function report(error, waitMs) {
    if (error.status === 401) {
      onState('key');
      return Infinity;  // until there is another key
    }
    if (error.status === 503) {
      const ready = await fetch('ready').then((response) => response.json()).catch(() => ({}));
      onState('loading', ready.progress);
      return 1000;
    }
    if (error.status) onState('trouble', error.message);
    else onState('away', Math.ceil(waitMs / 1000));
    return waitMs;
  }

  async function run() {
    let waitMs = 1000;
    for (;;) {
      if (hidden) await pause(Infinity);
      stopping = new AbortController();
      try {
        await follow();
        waitMs = 1000;  // it was there
        await pause(200);
      } catch (error) {
        if (hidden) continue;
        await pause(await report(error, waitMs));
        waitMs = Math.min(waitMs * 2, longestWaitMs);
      }
    }
  }

  // A browser allows a server six connections in all: a page that nobody sees gives its one back.
  document.addEventListener('visibilitychange', () => {
    hidden = document.hidden;
    if (hidden) stopping.abort();
    else wake();
  });
  run();
  return {retry: () => wake()};
}
