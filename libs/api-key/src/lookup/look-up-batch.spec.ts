import { ApiKey } from '../model/api-key.entity';
import { LookUpBatch } from './look-up-batch';
import type { StoredKey } from './stored-key';

const WAIT_MS = 50;
const KEY: StoredKey = { apiKey: new ApiKey(), digest: 'a', stopped: null, lifeMs: null, unusedMs: null };

interface Asked {
  readonly digests: readonly string[];
  readonly sent: () => void;
  readonly answer: (found: ReadonlyMap<string, StoredKey | Error>) => void;
  readonly fail: (error: Error) => void;
}

/** A batch, and what it asks of a database that waits for the test. */
function batchOf() {
  const asked: Asked[] = [];
  const batch = new LookUpBatch(
    (digests, sent) =>
      new Promise((answer, fail) => {
        asked.push({ digests, sent, answer, fail });
      }),
    WAIT_MS,
  );
  return { asked, batch };
}

const nothing = () => {};

beforeEach(() => jest.useFakeTimers());
afterEach(() => jest.useRealTimers());

it('simultaneous look-ups are sent in one statement, each digest once, and each gets its own result', async () => {
  const { asked, batch } = batchOf();
  const found = Promise.all(['a', 'b', 'a'].map((digest) => batch.find(digest, [], nothing)));
  expect(asked).toHaveLength(0);
  await jest.advanceTimersByTimeAsync(WAIT_MS);
  expect(asked.map(({ digests }) => digests)).toEqual([['a', 'b']]);
  asked[0]?.answer(new Map([['a', KEY]]));
  expect(await found).toEqual([KEY, null, KEY]);
});

it('a slow statement does not delay the next one, but at most four run at once', async () => {
  const { asked, batch } = batchOf();
  for (const digest of ['a', 'b', 'c', 'd', 'e', 'f']) {
    void batch.find(digest, [], nothing);
    await jest.advanceTimersByTimeAsync(WAIT_MS);
  }
  expect(asked.map(({ digests }) => digests)).toEqual([['a'], ['b'], ['c'], ['d']]);
  asked[1]?.answer(new Map());
  await jest.advanceTimersByTimeAsync(WAIT_MS);
  expect(asked[4]?.digests).toEqual(['e', 'f']);
});

it('each look-up is notified when it is sent', async () => {
  const { asked, batch } = batchOf();
  const sent = jest.fn();
  void batch.find('a', [], sent);
  void batch.find('b', [], sent);
  await jest.advanceTimersByTimeAsync(WAIT_MS);
  expect(sent).not.toHaveBeenCalled();
  asked[0]?.sent();
  expect(sent).toHaveBeenCalledTimes(2);
});

it('a failed statement fails only the look-ups that wait for it', async () => {
  const { asked, batch } = batchOf();
  const failed = expect(batch.find('a', [], nothing)).rejects.toThrow('away');
  await jest.advanceTimersByTimeAsync(WAIT_MS);
  asked[0]?.fail(new Error('away'));
  await failed;
  const found = batch.find('a', [], nothing);
  await jest.advanceTimersByTimeAsync(WAIT_MS);
  asked[1]?.answer(new Map([['a', KEY]]));
  expect(await found).toBe(KEY);
});

it('of a million look-ups at most a thousand wait, and the others are refused at once', async () => {
  const { batch } = batchOf();
  const waiting = Array.from({ length: 1_000 }, (_, i) => batch.find(String(i), [], nothing));
  await expect(batch.find('one more', [], nothing)).rejects.toMatchObject({ code: 'KEY_STORE_UNAVAILABLE' });
  expect(waiting).toHaveLength(1_000);
});

it('a key is searched by its own digest first, and then by the other digest', async () => {
  const { asked, batch } = batchOf();
  const own = { ...KEY, digest: 'b' };
  const found = Promise.all([batch.find('new', ['a'], nothing), batch.find('b', ['a'], nothing)]);
  await jest.advanceTimersByTimeAsync(WAIT_MS);
  expect(asked.map(({ digests }) => digests)).toEqual([['new', 'a', 'b']]);
  asked[0]?.answer(
    new Map([
      ['a', KEY],
      ['b', own],
    ]),
  );
  expect(await found).toEqual([KEY, own]);
});

it('an unreadable row fails the look-up of its own key, and no other look-up of the statement', async () => {
  const { asked, batch } = batchOf();
  const found = Promise.allSettled(['a', 'b'].map((digest) => batch.find(digest, [], nothing)));
  await jest.advanceTimersByTimeAsync(WAIT_MS);
  asked[0]?.answer(
    new Map<string, StoredKey | Error>([
      ['a', KEY],
      ['b', new Error('unreadable')],
    ]),
  );
  expect(await found).toMatchObject([{ value: KEY }, { reason: { message: 'unreadable' } }]);
});
