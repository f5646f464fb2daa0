import { type Turn, Turns } from './turns';
import { UnknownOutcome } from './unknown-outcome';

const POOL = 10;
const failure = (code: string) => Object.assign(new Error('no'), { code });
const soon = () => performance.now() + 60_000;
const settled = () => new Promise(setImmediate);

/** Work that runs until the test ends it. */
class Held {
  /** The names of the work that has begun. */
  readonly begun: string[] = [];
  private readonly ends = new Map<string, () => void>();

  constructor(private readonly turns: Turns) {}

  begin(name: string, kind: Turn['kind'], lane = name): Promise<void> {
    const work = this.turns.run({ kind, lanes: [lane] }, soon(), () => {
      this.begun.push(name);
      return new Promise<void>((resolve) => this.ends.set(name, resolve));
    });
    work.catch(() => {});
    return work;
  }

  async end(name: string): Promise<void> {
    this.ends.get(name)?.();
    await settled();
  }
}

const built: Turns[] = [];
const build = (poolMax = POOL) => {
  const turns = new Turns(() => poolMax);
  built.push(turns);
  return { turns, held: new Held(turns) };
};

/** What still waits would keep its timers. */
afterEach(() => {
  for (const turns of built.splice(0)) turns.end();
});

/** Fails so often, then succeeds. Keeps how long each attempt may wait for a lock. */
function failing(times: number, error: Error) {
  const lockTimeouts: (number | undefined)[] = [];
  const attempt = async (lockTimeoutMs: number | undefined) => {
    lockTimeouts.push(lockTimeoutMs);
    if (lockTimeouts.length <= times) throw error;
    return 'done';
  };
  return { attempt, lockTimeouts };
}

it('a hundred changes of one owner take one connection, and the changes of other owners run beside them', async () => {
  const { held } = build();
  for (let i = 0; i < 100; i++) void held.begin(`mine ${i}`, 'change', 'me');
  void held.begin('theirs', 'change', 'they');
  await settled();
  expect(held.begun).toEqual(['mine 0', 'theirs']);
  await held.end('mine 0');
  expect(held.begun).toEqual(['mine 0', 'theirs', 'mine 1']);
});

it('changes of many owners use a part of the pool, and go on in the order of their arrival', async () => {
  const { held } = build();
  for (let i = 0; i < 10; i++) void held.begin(`change ${i}`, 'change');
  await settled();
  expect(held.begun).toEqual(['change 0', 'change 1', 'change 2']);
  await held.end('change 1');
  expect(held.begun.at(-1)).toBe('change 3');
});

it('an ending goes before all changes that wait, in a place that changes and reads do not use', async () => {
  const { held } = build();
  for (let i = 0; i < 10; i++) {
    void held.begin(`change ${i}`, 'change', 'me');
    void held.begin(`other change ${i}`, 'change');
    void held.begin(`read ${i}`, 'read');
  }
  await settled();
  expect(held.begun).toHaveLength(4);
  void held.begin('ending', 'ending', 'me');
  await settled();
  expect(held.begun.at(-1)).toBe('ending');
});

it('with a pool of two connections, an ending is the next after the change that runs', async () => {
  const { held } = build(2);
  for (let i = 0; i < 3; i++) void held.begin(`change ${i}`, 'change');
  void held.begin('ending', 'ending', 'me');
  await settled();
  expect(held.begun).toEqual(['change 0']);
  await held.end('change 0');
  expect(held.begun).toEqual(['change 0', 'ending']);
});

it('reads of one owner run one after the other, and do not wait for the changes of the owner', async () => {
  const { held } = build();
  void held.begin('change', 'change', 'me');
  for (let i = 0; i < 3; i++) void held.begin(`read ${i}`, 'read', 'me');
  void held.begin('other read', 'read', 'they');
  await settled();
  expect(held.begun).toEqual(['change', 'read 0', 'other read']);
});

it.each([
  ['change', '55P03'],
  ['ending', '55P03'],
  ['ending', '40P01'],
  ['ending', '40001'],
  ['ending', 'ECONNRESET'],
  ['ending', '57P01'],
  ['ending', 'ECONNREFUSED'],
] as const)('a %s that fails with %s is tried again', async (kind, code) => {
  const { attempt, lockTimeouts } = failing(2, failure(code));
  expect(await build().turns.run({ kind, lanes: ['me'] }, soon(), attempt)).toBe('done');
  expect(lockTimeouts).toHaveLength(3);
});

it.each([
  ['change', failure('40P01')],
  ['change', failure('ECONNRESET')],
  ['read', failure('55P03')],
  ['background', failure('55P03')],
  ['ending', failure('23505')],
  ['ending', new Error('no code')],
  ['ending', Object.assign(new UnknownOutcome('lost'), { code: 'ECONNRESET' })],
] as const)('a %s is not tried again after %p', async (kind, error) => {
  const { attempt, lockTimeouts } = failing(1, error);
  await expect(build().turns.run({ kind, lanes: ['me'] }, soon(), attempt)).rejects.toBe(error);
  expect(lockTimeouts).toHaveLength(1);
});

it('work that is tried again fails with its last error after its deadline', async () => {
  const { attempt } = failing(Number.POSITIVE_INFINITY, failure('55P03'));
  const work = build().turns.run({ kind: 'ending', lanes: ['me'] }, performance.now() + 200, attempt);
  await expect(work).rejects.toMatchObject({ code: '55P03' });
});

it('an ending whose work was done by another is not tried again', async () => {
  const error = failure('55P03');
  const { attempt, lockTimeouts } = failing(2, error);
  const turn = { kind: 'ending', lanes: ['me'], isDone: async () => lockTimeouts.length === 2 } as const;
  await expect(build().turns.run(turn, soon(), attempt)).rejects.toBe(error);
  expect(lockTimeouts).toHaveLength(2);
});

it('an ending is tried again if it cannot be asked whether its work was done by another', async () => {
  const { attempt, lockTimeouts } = failing(2, failure('55P03'));
  const isDone = () => Promise.reject(new Error('no connection'));
  await build().turns.run({ kind: 'ending', lanes: ['me'], isDone }, soon(), attempt);
  expect(lockTimeouts).toHaveLength(3);
});

it.each([
  ['change', POOL, [1_000, 1_000, 1_000, 1_000, 1_000, 1_000]],
  ['ending', POOL, [1_000, 2_000, 4_000, 8_000, 8_000, 8_000]],
  ['change', 1, [100, 100, 100, 100, 100, 100]],
  ['ending', 1, [100, 100, 100, 100, 100, 100]],
] as const)('a %s with a pool of %i waits for a lock as long as %j', async (kind, poolMax, expected) => {
  const { attempt, lockTimeouts } = failing(5, failure('55P03'));
  await build(poolMax).turns.run({ kind, lanes: ['me'] }, soon(), attempt);
  expect(lockTimeouts).toEqual(expected);
});

it('a read, and a write in the background, keep their own lock timeout', async () => {
  for (const kind of ['read', 'background'] as const) {
    const { attempt, lockTimeouts } = failing(0, failure('55P03'));
    await build().turns.run({ kind, lanes: [] }, soon(), attempt);
    expect(lockTimeouts).toEqual([undefined]);
  }
});

it('a change that waits for a lock gives its connection back, goes behind new changes, and keeps its lane', async () => {
  const { turns, held } = build(2);
  let unlock = () => {};
  const locked = new Promise<void>((resolve) => {
    unlock = resolve;
  });
  let attempts = 0;
  const blocked = turns.run({ kind: 'change', lanes: ['me'] }, soon(), async () => {
    attempts += 1;
    if (attempts > 1) return;
    await locked;
    throw failure('55P03');
  });
  void held.begin('mine', 'change', 'me');
  void held.begin('theirs', 'change', 'they');
  unlock();
  await settled();
  expect(held.begun).toEqual(['theirs']);
  await held.end('theirs');
  await blocked;
  await settled();
  expect([attempts, held.begun]).toEqual([2, ['theirs', 'mine']]);
});

describe('when the application ends,', () => {
  it('work that waits is refused, work that runs ends, and a write in the background still waits', async () => {
    const { turns, held } = build(2);
    const running = held.begin('running', 'change', 'me');
    const refused = [
      held.begin('same lane', 'change', 'me'),
      held.begin('other lane', 'change', 'they'),
      held.begin('ending', 'ending'),
      held.begin('read', 'read'),
    ].map((work) => expect(work).rejects.toMatchObject({ code: 'EBUSY' }));
    const written = held.begin('written', 'background');
    await settled();
    turns.end();
    await Promise.all(refused);
    await held.end('running');
    await running;
    expect(held.begun).toEqual(['running', 'written']);
    await held.end('written');
    await written;
  });

  it('new work runs if it need not wait, and is not tried again', async () => {
    const { turns, held } = build(2);
    turns.end();
    const { attempt } = failing(1, failure('55P03'));
    const turn = { kind: 'ending', lanes: ['me'] } as const;
    await expect(turns.run(turn, soon(), attempt)).rejects.toMatchObject({ code: '55P03' });
    expect(await turns.run(turn, soon(), attempt)).toBe('done');
    void held.begin('running', 'change');
    await expect(held.begin('late', 'change')).rejects.toMatchObject({ code: 'EBUSY' });
  });

  it('what waits gets two seconds first, without a timer that keeps the process running', async () => {
    jest.useFakeTimers({ doNotFake: ['setImmediate', 'performance'] });
    const { turns, held } = build(2);
    void held.begin('running', 'change', 'me');
    const waiting = held.begin('waiting', 'change', 'me').catch((error) => error);
    await settled();
    turns.close();
    jest.advanceTimersByTime(1_999);
    expect(jest.getTimerCount()).toBeGreaterThan(0);
    jest.advanceTimersByTime(1);
    expect(await waiting).toMatchObject({ code: 'EBUSY' });
    expect(jest.getTimerCount()).toBe(0);
    jest.useRealTimers();
  });
});
