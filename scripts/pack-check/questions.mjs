import { setTimeout as delay } from 'node:timers/promises';

const MADE = { name: 'made', scopes: ['orders:read'], rateLimit: { limit: 1, windowSeconds: 3_600 } };

/**
 * What each application is asked, in this order. `as` names a key, and `keep` names the key that
 * an answer contains. `{made}` is the id of this key.
 */
const QUESTIONS = [
  { ask: 'GET /orders', status: 401, has: { error: 'MISSING_API_KEY' } },
  { ask: 'GET /orders', as: 'unknown', status: 401, has: { error: 'INVALID_API_KEY' } },
  { ask: 'GET /orders', as: 'reader', status: 200, has: { ordersOf: '42' } },
  { ask: 'POST /orders', as: 'reader', status: 403, has: { error: 'INSUFFICIENT_SCOPE' } },
  { ask: 'GET /api-keys', as: 'reader', status: 403, has: { error: 'INSUFFICIENT_SCOPE' } },
  { ask: 'POST /api-keys', as: 'admin', body: { ...MADE, keyDigest: '0' }, status: 400 },
  { ask: 'POST /api-keys', as: 'admin', body: MADE, status: 201, has: { name: 'made' }, keep: 'made' },
  { ask: 'GET /orders', as: 'made', status: 200, has: { ordersOf: '42' } },
  { ask: 'GET /orders', as: 'made', status: 429, has: { error: 'RATE_LIMITED' } },
  { ask: 'GET /api-keys/{made}', as: 'admin', status: 200, has: { state: 'active' } },
  { ask: 'DELETE /api-keys/{made}', as: 'admin', status: 204 },
  { ask: 'GET /api-keys/{made}', as: 'admin', status: 200, has: { state: 'revoked' } },
  { ask: 'GET /orders', as: 'made', status: 401, has: { error: 'INVALID_API_KEY' } },
];

/** Commands that make the keys of the questions. */
const COMMANDS = [
  { keep: 'reader', words: ['create', '--user-id', '42', '--name', 'reader', '--scopes', 'orders:read'] },
  {
    keep: 'admin',
    words: ['create', '--user-id', '42', '--name', 'admin', '--scopes', 'orders:*,api-keys:*'],
  },
];

/** How often a question is repeated if a busy machine answers 503 with `Retry-After`. */
const ATTEMPTS = 20;

/**
 * Asks all questions, and revokes a key by the command line.
 * @param url address of the server
 * @param command runs the command line with these words, and returns what it prints
 * @returns the number of answers and commands that were checked
 * @throws Error with the first answer that is wrong
 */
export async function askAll(url, command) {
  const keys = { unknown: { key: 'acme_live_unknown' } };
  for (const { keep, words } of COMMANDS) keys[keep] = JSON.parse(await command([...words, '--json']));
  for (const question of QUESTIONS) await ask(url, question, keys);
  const listed = await command(['list', '--user-id', '42', '--json']);
  if (!listed.includes('"reader"') || !listed.includes('"made"'))
    throw new Error(`list does not show the keys: ${listed}`);
  await command(['revoke', keys.reader.id]);
  await ask(url, { ask: 'GET /orders', as: 'reader', status: 401, has: { error: 'INVALID_API_KEY' } }, keys);
  return QUESTIONS.length + 1 + COMMANDS.length + 2;
}

async function ask(url, { ask: line, as, body, status, has = {}, keep }, keys) {
  const [method, path] = line.replace(/\{(\w+)\}/, (_, name) => keys[name].id).split(' ');
  const response = await answered(`${url}${path}`, {
    method,
    headers: {
      ...(as && { Authorization: `Bearer ${keys[as].key}` }),
      ...(body && { 'Content-Type': 'application/json' }),
    },
    body: body && JSON.stringify(body),
  });
  const text = await response.text();
  const answer = text === '' ? {} : JSON.parse(text);
  const isRight =
    response.status === status && Object.entries(has).every(([name, value]) => answer[name] === value);
  if (!isRight)
    throw new Error(
      `${line} as ${as ?? 'nobody'}: expected ${status} ${JSON.stringify(has)}, got ${response.status} ${text}`,
    );
  if (keep) keys[keep] = answer;
}

/** Asks again after 503 with `Retry-After`, as a client does. */
async function answered(url, request) {
  for (let attempt = 1; ; attempt++) {
    const response = await fetch(url, request);
    const retryAfter = response.headers.get('Retry-After');
    if (response.status !== 503 || retryAfter === null || attempt === ATTEMPTS) return response;
    await response.text();
    await delay(Number(retryAfter) * 1_000);
  }
}
