import {
  type Acting,
  type ApiKey,
  ApiKeyAuthorityError,
  ApiKeyConflictError,
  type ApiKeyService,
  type CreateApiKeyInput,
  type UpdateApiKeyInput,
} from 'nestjs-api-key';
import { bootApp, QUIET, type TestApp } from './support/app';
import { createMigratedDatabase, createUser, sql } from './support/database';

let database: string;
let app: TestApp;
let keys: ApiKeyService;
let userId: string;

beforeAll(async () => {
  database = await createMigratedDatabase();
  app = await bootApp({ database, options: QUIET });
  keys = app.keys;
});

afterAll(() => app.close());

beforeEach(async () => {
  userId = await createUser(database);
});

async function made(maker?: ApiKey, fields: object = {}): Promise<ApiKey> {
  const input = { userId, name: 'ci', scopes: ['*'], ...fields } as CreateApiKeyInput;
  return (await keys.create(input, maker ? { apiKey: maker } : {})).apiKey;
}

async function rotated({ id }: ApiKey, acting: Acting = {}): Promise<ApiKey> {
  const issued = await keys.rotate(id, {}, acting);
  if (!issued) throw new Error(`there is no key ${id}`);
  return issued.apiKey;
}

async function present({ id }: ApiKey): Promise<ApiKey> {
  return (await keys.get(id)) as ApiKey;
}

/** Before a rotated key ends, so that the authority of each key covers it. */
const soon = () => new Date(Date.now() + 3_600_000);

/**
 * Keys that all may act, and a key that one of them disables. `root` made `child`, which made
 * `grandchild`. `sibling` is another key that root made. `old` was rotated to `next`, and that to
 * `heir`. Each of them made a key. `stranger` has no lineage. `rotator` rotated its maker `first`
 * to `renewed`.
 */
async function family() {
  const root = await made();
  const child = await made(root);
  const old = await made();
  const ofOld = await made(old);
  const next = await rotated(old);
  const ofNext = await made(next);
  const heir = await rotated(next);
  const first = await made();
  const rotator = await made(first);
  return {
    root,
    child,
    grandchild: await made(child),
    sibling: await made(root),
    old,
    ofOld,
    next,
    ofNext,
    heir,
    ofHeir: await made(heir),
    stranger: await made(),
    first,
    rotator,
    renewed: await rotated(first, { apiKey: rotator }),
  };
}
type Family = Awaited<ReturnType<typeof family>>;
type Member = keyof Family;

/** Whose disabling each key may undo, besides its own. */
const MAY_UNDO: Readonly<Record<Member, readonly Member[]>> = {
  root: ['child', 'grandchild', 'sibling'],
  child: ['grandchild'],
  grandchild: [],
  sibling: [],
  old: ['ofOld'],
  ofOld: [],
  next: ['old', 'ofOld', 'ofNext'],
  ofNext: [],
  heir: ['old', 'next', 'ofOld', 'ofNext', 'ofHeir'],
  ofHeir: [],
  stranger: [],
  first: ['rotator'],
  rotator: ['renewed'],
  renewed: [],
};
const MEMBERS = Object.keys(MAY_UNDO) as Member[];

describe('A key that a key disabled', () => {
  it('is enabled by that key, by keys that made it or replaced it, and by no other key', async () => {
    const all = await family();
    const target = await made(undefined, { expiresAt: soon() });
    const allowed: [Member, Member][] = [];
    for (const by of MEMBERS)
      for (const actor of MEMBERS) {
        await keys.disable(target.id, {}, { apiKey: all[by] });
        const outcome = await keys.enable(target.id, {}, { apiKey: all[actor] }).catch((error) => error);
        if (outcome instanceof ApiKeyAuthorityError) await keys.enable(target.id);
        else allowed.push([actor, by]);
        expect((await present(target)).disabledAt).toBeNull();
      }
    const expected = MEMBERS.flatMap((by) =>
      MEMBERS.filter((actor) => actor === by || MAY_UNDO[actor].includes(by)).map((actor) => [actor, by]),
    );
    expect(allowed).toEqual(expected);
  });

  it('is enabled by a key that neither made nor replaced the other key only with an error that says who can', async () => {
    const { root, child } = await family();
    const target = await made();
    await keys.disable(target.id, {}, { apiKey: root });
    await expect(keys.enable(target.id, {}, { apiKey: child })).rejects.toThrow(
      `key ${target.id} was disabled by key ${root.id}, which the acting key neither made nor replaced`,
    );
  });

  it('is enabled by the maker of two long lines of keys if a key of both disabled it, and not the other way round', async () => {
    const root = await made();
    const lines = [root, root];
    for (let i = 0; i < 34; i++) lines[i % 2] = await made(lines[i % 2]);
    const [one, other] = lines as [ApiKey, ApiKey];
    const last = await rotated(one, { apiKey: other });
    expect(last.ancestorIds).not.toContain(root.id);
    const target = await made();
    await keys.disable(target.id, {}, { apiKey: last });
    expect(await keys.enable(target.id, {}, { apiKey: root })).toMatchObject({ disabledAt: null });
    await keys.disable(target.id, {}, { apiKey: root });
    await expect(keys.enable(target.id, {}, { apiKey: last })).rejects.toThrow(ApiKeyAuthorityError);
  });

  it('is not enabled by a maker if the row of the key that disabled it was deleted, but by a person', async () => {
    const { root, child } = await family();
    const target = await made();
    await keys.disable(target.id, {}, { apiKey: child });
    await keys.delete(child.id);
    await expect(keys.enable(target.id, {}, { apiKey: root })).rejects.toThrow(ApiKeyAuthorityError);
    expect(await keys.enable(target.id, {}, { userId })).toMatchObject({ disabledAt: null });
  });

  it('and that has ended since, is enabled by its successor', async () => {
    const { old, next } = await family();
    const target = await made(undefined, { expiresAt: soon() });
    await keys.disable(target.id, {}, { apiKey: old });
    await keys.revoke(old.id);
    expect(await keys.enable(target.id, {}, { apiKey: next })).toMatchObject({ disabledAt: null });
  });

  it('and that replaced another key, is not undone by that key, also if the row of a key between was deleted', async () => {
    const { old, next, heir, ofNext, ofHeir } = await family();
    const target = await made(undefined, { expiresAt: soon() });
    await keys.delete(next.id);
    for (const by of [heir, ofHeir, ofNext]) {
      await keys.disable(target.id, {}, { apiKey: by });
      const enabled = keys.enable(target.id, {}, { apiKey: old });
      await expect(enabled).rejects.toThrow(ApiKeyAuthorityError);
      await keys.enable(target.id);
    }
  });

  it('even if its lineage has a NULL or a ring, written by hand', async () => {
    const { root, child } = await family();
    const target = await made();
    await keys.disable(target.id, {}, { apiKey: child });
    await sql(
      database,
      `UPDATE api_keys SET ancestor_ids = '{NULL,${root.id},${child.id}}', replaces_id = id WHERE id = ${child.id}`,
    );
    expect(await keys.enable(target.id, {}, { apiKey: root })).toMatchObject({ disabledAt: null });
  });
});

describe('A key that another key rotated', () => {
  const whoCan = (actor: Member) => (all: Family) => all[actor];
  it.each<[string, (all: Family) => ApiKey, (all: Family) => ApiKey, boolean]>([
    ['a key that it made', whoCan('child'), whoCan('root'), false],
    ['a key that its maker made as well', whoCan('child'), whoCan('sibling'), false],
    ['a key without relation to it', whoCan('stranger'), whoCan('root'), false],
    ['a key that it replaced', whoCan('old'), whoCan('heir'), false],
    ['a key of a key that it replaced', whoCan('ofNext'), whoCan('heir'), false],
    ['a key that its maker replaced', whoCan('old'), whoCan('ofNext'), false],
    ['its maker', whoCan('root'), whoCan('child'), true],
    ['the maker of its maker', whoCan('root'), whoCan('grandchild'), true],
    ['itself', whoCan('root'), whoCan('root'), true],
  ])('leaves its right to enable to the successor only if its maker or itself rotated it: %s', async (_, rotator, replaced, expected) => {
    const all = await family();
    const target = await made(undefined, { expiresAt: soon() });
    const old = replaced(all);
    await keys.disable(target.id, {}, { apiKey: old });
    const successor = await rotated(old, { apiKey: rotator(all) });
    await sql(database, 'UPDATE api_keys SET expires_at = NULL WHERE id = $1', [successor.id]);
    const outcome = await keys.enable(target.id, {}, { apiKey: successor }).catch((error) => error);
    expect(outcome instanceof ApiKeyAuthorityError).toBe(!expected);
    if (expected) expect(outcome).toMatchObject({ disabledAt: null });
  });

  it('leaves it no right to undo what the other keys did that it made, and what its successor makes it may', async () => {
    const { root, child, sibling, grandchild } = await family();
    const target = await made(undefined, { expiresAt: soon() });
    const successor = await rotated(root, { apiKey: child });
    for (const by of [child, sibling, grandchild]) {
      await keys.disable(target.id, {}, { apiKey: by });
      const enabled = keys.enable(target.id, {}, { apiKey: successor });
      await expect(enabled).rejects.toThrow(ApiKeyAuthorityError);
      await keys.enable(target.id);
    }
    await keys.disable(target.id, {}, { apiKey: await made(successor) });
    expect(await keys.enable(target.id, {}, { apiKey: successor })).toMatchObject({ disabledAt: null });
  });

  it('is judged likewise after later rotations, and after its row was deleted', async () => {
    const { root, child, sibling } = await family();
    const target = await made(undefined, { expiresAt: soon() });
    await keys.disable(target.id, {}, { apiKey: root });
    const heir = await rotated(await rotated(root, { apiKey: child }));
    const ofSibling = await rotated(sibling);
    await keys.delete(root.id);
    await expect(keys.enable(target.id, {}, { apiKey: heir })).rejects.toThrow(ApiKeyAuthorityError);
    await keys.enable(target.id);
    await keys.disable(target.id, {}, { apiKey: sibling });
    await keys.delete(sibling.id);
    expect(await keys.enable(target.id, {}, { apiKey: ofSibling })).toMatchObject({ disabledAt: null });
  });
});

describe('A key that a person disabled', () => {
  const PEOPLE: [string, () => Acting][] = [
    ['the application', () => ({})],
    ['a user', () => ({ userId })],
    ['the command line', () => ({ actor: { type: 'cli', id: 'root' } })],
  ];

  it.each(
    PEOPLE,
  )('is enabled by no key if it was %s, also if a key had disabled it before or after', async (_, acting) => {
    const { root, child } = await family();
    const target = await made(root);
    for (const order of ['person', 'key and person', 'person and key']) {
      if (order === 'key and person') await keys.disable(target.id, {}, { apiKey: child });
      await keys.disable(target.id, {}, acting());
      if (order === 'person and key') await keys.disable(target.id, {}, { apiKey: child });
      expect(await present(target)).toMatchObject({ disabledById: null, disabledAt: expect.any(Date) });
      for (const apiKey of [root, child])
        await expect(keys.enable(target.id, {}, { apiKey })).rejects.toThrow(
          `key ${target.id} can be enabled only by a person or the application`,
        );
      expect(await keys.enable(target.id, {}, acting())).toMatchObject({ disabledAt: null });
    }
  });

  it('keeps the time and the expiry of the first disabling, and has an event for the second', async () => {
    const { root } = await family();
    const expiresAt = new Date('2040-01-01');
    const target = await made(undefined, { expiresAt });
    const first = await keys.disable(target.id, { reason: 'by a key' }, { apiKey: root });
    const second = await keys.disable(target.id, { reason: 'by a person' });
    expect(second).toEqual({ ...first, disabledById: null, updatedAt: expect.any(Date) });
    expect((await keys.events(target.id))?.items).toMatchObject([
      { type: 'disabled', actor: { type: 'system' }, details: { reason: 'by a person' } },
      { type: 'disabled', actor: { type: 'key', id: root.id }, details: { reason: 'by a key' } },
      { type: 'created' },
    ]);
    expect(await keys.enable(target.id)).toMatchObject({ expiresAt });
  });
});

describe('A key that two keys disabled', () => {
  it('counts as disabled by the one that may undo what the other did, whoever was first', async () => {
    const { root, child, old, next } = await family();
    const target = await made(undefined, { expiresAt: soon() });
    for (const [weak, strong] of [
      [child, root],
      [old, next],
    ] as const)
      for (const order of [
        [weak, strong],
        [strong, weak],
      ]) {
        for (const apiKey of order) await keys.disable(target.id, {}, { apiKey });
        expect(await present(target)).toMatchObject({ disabledById: strong.id });
        await expect(keys.enable(target.id, {}, { apiKey: weak })).rejects.toThrow(ApiKeyAuthorityError);
        expect(await keys.enable(target.id, {}, { apiKey: strong })).toMatchObject({ disabledAt: null });
      }
  });

  it('is enabled by neither if they are not related, so that neither undoes what the other did', async () => {
    const { root, child, sibling, stranger } = await family();
    for (const [one, other] of [
      [root, stranger],
      [child, sibling],
    ] as const) {
      const target = await made();
      await keys.disable(target.id, {}, { apiKey: one });
      await keys.disable(target.id, {}, { apiKey: other });
      for (const apiKey of [one, other, root])
        await expect(keys.enable(target.id, {}, { apiKey })).rejects.toThrow(ApiKeyAuthorityError);
      expect(await keys.enable(target.id)).toMatchObject({ disabledAt: null });
    }
  });
});

describe('An acting key that enables a key', () => {
  const HOUR = { limit: 5, windowSeconds: 3_600 };
  const HOUR_MS = 3_600_000;

  it.each<[string, object, object]>([
    ['scopes', { scopes: ['orders:*', 'api-keys:*'] }, { scopes: ['orders:read', 'users:read'] }],
    ['an expiry', { expiresAt: new Date('2040-01-01') }, { expiresAt: new Date('2041-01-01') }],
    ['no expiry', { expiresAt: new Date('2040-01-01') }, { expiresAt: null }],
    ['addresses', { allowedIps: ['10.0.0.0/8'] }, { allowedIps: null }],
    ['a rate limit', { rateLimit: HOUR }, { rateLimit: { ...HOUR, limit: 6 } }],
    ['no rate limit', { rateLimit: HOUR }, { rateLimit: null }],
    ['a quota', { quota: { limit: 5, period: 'month' } }, { quota: { limit: 5, period: 'day' } }],
  ])('is refused if the key has %s that the acting key lacks', async (_, bound, more) => {
    const actor = await made(undefined, bound);
    const target = await made(undefined, { ...bound, ...more });
    await keys.disable(target.id, {}, { apiKey: actor });
    await expect(keys.enable(target.id, {}, { apiKey: actor })).rejects.toThrow('exceed');
    expect(await present(target)).toMatchObject({ disabledById: actor.id });
    await keys.update(target.id, bound as UpdateApiKeyInput);
    expect(await keys.enable(target.id, {}, { apiKey: actor })).toMatchObject({ disabledAt: null });
  });

  it('is judged by what it has now, not by what it had when it disabled the key', async () => {
    const actor = await made();
    const target = await made(actor);
    await keys.disable(target.id, {}, { apiKey: actor });
    await keys.update(actor.id, { scopes: ['api-keys:*'] } as unknown as UpdateApiKeyInput);
    await expect(keys.enable(target.id, {}, { apiKey: actor })).rejects.toThrow(ApiKeyAuthorityError);
  });

  it('is judged by the expiry that Rails wrote meanwhile', async () => {
    const actor = await made(undefined, { expiresAt: new Date('2040-01-01') });
    const target = await made(actor);
    await keys.disable(target.id, {}, { apiKey: actor });
    await sql(database, 'UPDATE api_keys SET expires_at = NULL WHERE id = $1', [target.id]);
    await expect(keys.enable(target.id, {}, { apiKey: actor })).rejects.toThrow('expiresAt exceeds');
  });

  it('is not refused for a shorter window than its own, because no earlier use is forgotten', async () => {
    const actor = await made(undefined, { rateLimit: { limit: 60, windowSeconds: 3_600 } });
    const target = await made(actor, { rateLimit: { limit: 1, windowSeconds: 60 } });
    const successor = await rotated(actor);
    await keys.disable(target.id, {}, { apiKey: actor });
    expect(await keys.enable(target.id, {}, { apiKey: successor })).toMatchObject({ disabledAt: null });
  });

  it('is refused if the key has expired meanwhile, also by what Rails wrote', async () => {
    const actor = await made();
    for (const column of ['expires_at', 'enabled_expires_at']) {
      const target = await made(actor, { expiresAt: new Date(Date.now() + HOUR_MS) });
      await keys.disable(target.id, {}, { apiKey: actor });
      await sql(
        database,
        `UPDATE api_keys SET ${column} = now() - interval '1 hour'${column === 'expires_at' ? '' : `, expires_at = least(expires_at, now() - interval '1 hour')`} WHERE id = ${target.id}`,
      );
      await expect(keys.enable(target.id, {}, { apiKey: actor })).rejects.toThrow(
        `key ${target.id} has expired and cannot be enabled by a key`,
      );
      expect((await keys.enable(target.id))?.stateAt()).toBe('expired');
    }
  });

  it('is refused if the key was rotated, and a person may still enable it for the rest of its overlap', async () => {
    const actor = await made();
    const target = await made(actor);
    await rotated(target);
    await keys.disable(target.id, {}, { apiKey: actor });
    await expect(keys.enable(target.id, {}, { apiKey: actor })).rejects.toThrow(ApiKeyConflictError);
    expect((await keys.enable(target.id))?.stateAt()).toBe('active');
  });

  it('is refused if it is disabled itself, so that no key enables itself', async () => {
    const [actor, target] = [await made(), await made()];
    await keys.disable(target.id, {}, { apiKey: actor });
    await keys.disable(actor.id, {}, { apiKey: actor });
    for (const id of [actor.id, target.id])
      await expect(keys.enable(id, {}, { apiKey: actor })).rejects.toMatchObject({
        code: 'INVALID_API_KEY',
        refused: { reason: 'disabled' },
      });
  });

  it('is refused if it lacks the scope that the change needs', async () => {
    const actor = await made(undefined, { scopes: ['api-keys:read'] });
    const target = await made(undefined, { scopes: [] });
    const acting = { apiKey: actor, needs: ['api-keys:write'] };
    for (const call of [keys.disable(target.id, {}, acting), keys.enable(target.id, {}, acting)])
      await expect(call).rejects.toMatchObject({ code: 'INSUFFICIENT_SCOPE' });
    expect(await present(target)).toMatchObject({ disabledAt: null });
  });

  it('finds no key of another owner', async () => {
    const actor = await made();
    const foreign = await made();
    await sql(database, 'UPDATE api_keys SET user_id = $2 WHERE id = $1', [
      foreign.id,
      await createUser(database),
    ]);
    expect(await keys.disable(foreign.id, {}, { apiKey: actor })).toBeNull();
    await keys.disable(foreign.id);
    expect(await keys.enable(foreign.id, {}, { apiKey: actor })).toBeNull();
  });
});

it('a disabled ancestor stays in the lineage of a key that needs room for its ancestors', async () => {
  const chain = [await made()];
  while (chain.length < 33) chain.push(await made(chain.at(-1)));
  const [root, second] = chain as [ApiKey, ApiKey];
  await keys.disable(root.id);
  await keys.revoke(second.id);
  const last = await made(chain.at(-1));
  expect(last.ancestorIds).toContain(root.id);
  expect(last.ancestorIds).not.toContain(second.id);
});
