import { randomInt } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import type { IssuedApiKey, ScopeCatalogue } from 'nestjs-api-key';
import { sql } from '../support/database';
import { Fleet, type MemberSettings } from '../support/fleet';
import { until } from '../support/until';

const RUNS = Array.from({ length: 10 }, (_, i) => i + 1);
const LOOPS = 8;
/** How many keys a lineage has when its end begins. */
const KEYS = 30;
const DAY_S = 86_400;
const DEFAULT_LIMIT = { limit: 100_000, windowSeconds: 60 };

const MEMBERS: readonly MemberSettings[] = (['express', 'fastify', 'express', 'fastify'] as const).map(
  (adapter) => ({
    adapter,
    isDirect: true,
    options: { rateLimit: DEFAULT_LIMIT, cache: { lookUpTimeoutMs: 10_000 } },
  }),
);

let fleet: Fleet;
beforeAll(async () => {
  fleet = await Fleet.start(MEMBERS);
});
afterAll(() => fleet.stop());

/** A key as someone outside has it. */
interface Held {
  readonly id: string;
  readonly key: string;
}

interface Answer {
  readonly status: number;
  readonly body: Partial<Held> & { readonly error?: string };
}

const urlOf = (at = randomInt(fleet.urls.length)) => fleet.urls[at] as string;

/** One request to any of the instances. */
async function ask(method: string, path: string, key: string, body?: object): Promise<Answer> {
  const response = await fetch(`${urlOf()}${path}`, {
    method,
    headers: { authorization: `Bearer ${key}`, ...(body && { 'content-type': 'application/json' }) },
    ...(body && { body: JSON.stringify(body) }),
  });
  const text = await response.text();
  return { status: response.status, body: text === '' ? {} : JSON.parse(text) };
}

async function issued(
  scopes: readonly (keyof ScopeCatalogue | '*')[] = ['*'],
  fields = {},
): Promise<IssuedApiKey> {
  const [first] = await fleet.issue(1, { scopes, ...fields });
  return first as IssuedApiKey;
}

/**
 * Mints and rotates without an end, with random keys of a lineage on random instances, and keeps
 * all that it was given.
 */
class Makers {
  readonly held: Held[];
  private isOver = false;
  private readonly loops: readonly Promise<void>[];

  constructor({ key, apiKey }: IssuedApiKey) {
    this.held = [{ id: apiKey.id, key }];
    this.loops = Array.from({ length: LOOPS }, () => this.loop());
  }

  /** Waits for what is under way. */
  async stop(): Promise<void> {
    this.isOver = true;
    await Promise.all(this.loops);
  }

  private async loop(): Promise<void> {
    while (!this.isOver) {
      const [actor, target] = [this.any(), this.any()];
      const isMint = randomInt(3) > 0;
      const { status, body } = isMint
        ? await ask('POST', '/api-keys', actor.key, { name: 'minted', scopes: ['*'] })
        : await ask('POST', `/api-keys/${target.id}/rotate`, actor.key, { overlapSeconds: DAY_S });
      if (status === 201) this.held.push(body as Held);
    }
  }

  private any(): Held {
    return this.held[randomInt(this.held.length)] as Held;
  }
}

/** The keys that any instance accepts, of those that were ever given. */
async function accepted(held: readonly Held[]): Promise<string[]> {
  const found: string[] = [];
  const askAll = async (url: string) => {
    for (const { id, key } of held) {
      const { status } = await fetch(`${url}/me`, { headers: { authorization: `Bearer ${key}` } });
      if (status !== 401) found.push(`${id}: ${status}`);
    }
  };
  await Promise.all(fleet.urls.map(askAll));
  return found;
}

const liveRows = (userId: string) =>
  sql(
    fleet.database,
    'SELECT id FROM api_keys WHERE user_id = $1 AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > now())',
    [userId],
  );

/** Ends what is being made in the middle of it, and what is accepted and live afterwards. */
async function afterEnd(root: IssuedApiKey, end: () => Promise<unknown>) {
  const makers = new Makers(root);
  let beforeStop: string[];
  try {
    await until(() => makers.held.length >= KEYS);
    await delay(randomInt(50));
    await end();
    beforeStop = await accepted(makers.held.slice());
  } finally {
    await makers.stop();
  }
  return [...beforeStop, ...(await accepted(makers.held)), ...(await liveRows(root.apiKey.userId))];
}

describe('four instances, whose keys create and rotate keys without end:', () => {
  it.each(RUNS)('no instance accepts a key of a lineage that was revoked everywhere (%d)', async () => {
    const root = await issued();
    const end = () => fleet.keys.revoke(root.apiKey.id, { descendants: true, everywhere: true });
    expect(await afterEnd(root, end)).toEqual([]);
  });

  it.each(
    RUNS,
  )('no instance accepts a key of an owner after all keys of the owner were revoked everywhere (%d)', async () => {
    const root = await issued();
    const end = () => fleet.keys.revokeAll({ userId: root.apiKey.userId, everywhere: true });
    expect(await afterEnd(root, end)).toEqual([]);
  });

  it.each(RUNS)('no instance accepts a key of a lineage that its root revoked over HTTP (%d)', async () => {
    const root = await issued();
    const path = `/api-keys/${root.apiKey.id}?descendants=true&everywhere=true&reason=leaked`;
    const end = async () => expect((await ask('DELETE', path, root.key)).status).toBe(204);
    expect(await afterEnd(root, end)).toEqual([]);
  });
});

describe.each(RUNS)('over HTTP (%d)', () => {
  it('a key that writes its own fields back, on two connections, does not undo a restriction', async () => {
    const { key, apiKey } = await issued(['api-keys:write', 'orders:read']);
    let isOver = false;
    const loop = async () => {
      while (!isOver) await ask('PATCH', `/api-keys/${apiKey.id}`, key, { scopes: apiKey.scopes });
    };
    const loops = [loop(), loop()];
    await delay(randomInt(100));
    await fleet.keys.update(apiKey.id, { scopes: ['api-keys:write'] });
    await Promise.all(Array.from({ length: 10 }, () => ask('GET', '/me', key)));
    isOver = true;
    await Promise.all(loops);
    expect((await fleet.keys.get(apiKey.id))?.scopes).toEqual(['api-keys:write']);
  });

  it('a weak key removes no restriction of a stronger key', async () => {
    const bounds = {
      expiresAt: new Date(Date.now() + DAY_S * 1_000),
      allowedIps: ['127.0.0.1'],
      rateLimit: { limit: 1_000, windowSeconds: 60 },
      quota: { limit: 1_000, period: 'day' as const },
    };
    const strong = await issued(['*'], bounds);
    const { userId } = strong.apiKey;
    const weak = await fleet.keys.create({ userId, name: 'weak', scopes: ['api-keys:write'] });
    for (const field of Object.keys(bounds)) {
      const { status, body } = await ask('PATCH', `/api-keys/${strong.apiKey.id}`, weak.key, {
        [field]: null,
      });
      expect({ status, error: body.error }).toEqual({ status: 403, error: 'EXCEEDS_API_KEY' });
    }
  });

  it('neither a rotated nor an expired key is revived', async () => {
    const old = await issued();
    const { userId } = old.apiKey;
    const expired = await fleet.keys.create({
      userId,
      name: 'old',
      expiresAt: new Date(Date.now() + 60_000),
    });
    await sql(fleet.database, `UPDATE api_keys SET expires_at = now() - interval '1 s' WHERE id = $1`, [
      expired.apiKey.id,
    ]);
    const path = `/api-keys/${old.apiKey.id}/rotate`;
    const { status, body } = await ask('POST', path, old.key, { overlapSeconds: 60 });
    expect(status).toBe(201);
    for (const [id, key] of [
      [old.apiKey.id, old.key],
      [old.apiKey.id, body.key],
      [expired.apiKey.id, body.key],
    ]) {
      const answer = await ask('PATCH', `/api-keys/${id}`, String(key), { expiresAt: null });
      expect(answer.status).toBe(409);
    }
  });

  it('a key without a limit gives itself and its children no more than the default', async () => {
    const { key, apiKey } = await issued();
    const rateLimit = { limit: 1_000_000_000, windowSeconds: 1 };
    expect((await ask('PATCH', `/api-keys/${apiKey.id}`, key, { rateLimit })).status).toBe(403);
    expect((await ask('POST', '/api-keys', key, { name: 'child', rateLimit })).status).toBe(403);
    expect((await ask('POST', '/api-keys', key, { name: 'child', rateLimit: DEFAULT_LIMIT })).status).toBe(
      201,
    );
  });

  it('keys that a key created are revoked with it', async () => {
    const { key, apiKey } = await issued();
    const child = (await ask('POST', '/api-keys', key, { name: 'child', scopes: ['*'] })).body as Held;
    const grandchild = (await ask('POST', '/api-keys', child.key, { name: 'grandchild' })).body as Held;
    const successor = (await ask('POST', `/api-keys/${child.id}/rotate`, child.key)).body as Held;
    expect([child.key, grandchild.key, successor.key]).not.toContain(undefined);
    await fleet.keys.revoke(apiKey.id, { descendants: true, everywhere: true });
    expect(await accepted([{ id: apiKey.id, key }, child, grandchild, successor])).toEqual([]);
  });
});
