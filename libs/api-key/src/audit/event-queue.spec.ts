import { Logger } from '@nestjs/common';
import type { ApiKeyEvent, ApiKeyEventSink } from '../model/api-key.event';
import { EventQueue } from './event-queue';

type Name = string;

/** A queue into a list. `isRejected` says which batches the sink rejects. */
function build({
  size = 10,
  isRejected = (_: readonly Name[]) => false,
  whileWriting = () => {},
}: {
  size?: number;
  isRejected?: (batch: readonly Name[]) => boolean;
  whileWriting?: () => void;
} = {}) {
  const batches: Name[][] = [];
  const sink: ApiKeyEventSink = {
    record: async (events) => {
      const names = events as unknown as Name[];
      whileWriting();
      if (isRejected(names)) throw new Error('the sink is full');
      batches.push(names);
    },
  };
  const queue = new EventQueue('refused', sink, size, 1_000);
  const add = (name: Name, namesKey: boolean) => queue.add(() => name as unknown as ApiKeyEvent, namesKey);
  return {
    queue,
    batches,
    written: () => batches.flat(),
    ofKey: (name: Name) => add(name, true),
    withoutKey: (name: Name) => add(name, false),
  };
}

let warn: jest.SpyInstance;
let error: jest.SpyInstance;

beforeEach(() => {
  warn = jest.spyOn(Logger.prototype, 'warn').mockImplementation(() => {});
  error = jest.spyOn(Logger.prototype, 'error').mockImplementation(() => {});
});

afterEach(() => jest.restoreAllMocks());

const numbered = (count: number) => Array.from({ length: count }, (_, i) => `${i}`);

describe('the queue of events', () => {
  it('writes at most its size in an interval, however many events arrive while it writes', async () => {
    const { queue, written, withoutKey } = build({
      size: 600,
      whileWriting: () => {
        for (const name of numbered(10)) withoutKey(name);
      },
    });
    for (const name of numbered(1_000)) withoutKey(name);
    await queue.flush();
    expect(written()).toHaveLength(600);
    for (const name of numbered(1_000)) withoutKey(name);
    await queue.flush();
    expect(written()).toHaveLength(600 + 600);
  });

  it('writes a full queue of many batches in one interval', async () => {
    const { queue, batches, written, withoutKey } = build({ size: 1_200 });
    for (const name of numbered(1_300)) withoutKey(name);
    await queue.flush();
    expect(written()).toEqual(numbered(1_200));
    expect(batches.map(({ length }) => length)).toEqual([500, 500, 200]);
  });

  it('is full of events without a key, and still has a place for each event of a key', async () => {
    const { queue, written, ofKey, withoutKey } = build({ size: 3 });
    for (const name of ['a', 'b', 'c', 'd']) withoutKey(name);
    ofKey('key 1');
    ofKey('key 2');
    withoutKey('e');
    expect(queue.dropped).toEqual({ ofKeys: 0, others: 4 });
    await queue.flush();
    expect(written()).toEqual(['a', 'key 1', 'key 2']);
  });

  it('has a place for an event of a key while a batch without keys is being written', async () => {
    const { queue, written, ofKey, withoutKey } = build({ size: 2, whileWriting: () => ofKey('key') });
    withoutKey('a');
    withoutKey('b');
    await queue.flush();
    expect(queue.dropped).toEqual({ ofKeys: 0, others: 0 });
    await queue.flush();
    expect(written()).toEqual(['a', 'b', 'key']);
  });

  it('is full of events of keys: further events are dropped, and counted by kind', async () => {
    const { queue, written, ofKey, withoutKey } = build({ size: 2 });
    for (const name of ['key 1', 'key 2', 'key 3']) ofKey(name);
    withoutKey('a');
    expect(queue.dropped).toEqual({ ofKeys: 1, others: 1 });
    await queue.flush();
    expect(written()).toEqual(['key 1', 'key 2']);
    expect(warn.mock.calls.flat()).toEqual([
      expect.stringMatching(/^2 events of refused requests were dropped, because more than 2 arrived/),
    ]);
  });
});

describe('a sink that is away', () => {
  it('gets all events that fit when it is back, and no event is dropped for its sake', async () => {
    let isAway = true;
    const { queue, written, ofKey, withoutKey } = build({ size: 20, isRejected: () => isAway });
    for (let interval = 0; interval < 8; interval++) {
      ofKey(`key ${interval}`);
      withoutKey(`${interval}`);
      await queue.flush();
    }
    expect(written()).toEqual([]);
    isAway = false;
    await queue.flush();
    expect(written().toSorted()).toEqual([...numbered(8), ...numbered(8).map((n) => `key ${n}`)].toSorted());
    expect(queue.dropped).toEqual({ ofKeys: 0, others: 0 });
    expect(error).not.toHaveBeenCalled();
  });

  it('gets one call in an interval, so that a slow failure does not add up', async () => {
    let calls = 0;
    const { queue, ofKey } = build({ size: 2_000, isRejected: () => Boolean(++calls) });
    for (const name of numbered(1_500)) ofKey(name);
    for (let interval = 1; interval <= 5; interval++) {
      await queue.flush();
      expect(calls).toBe(interval);
    }
  });

  it('keeps its bound: the events of keys stay, and others are dropped for them', async () => {
    const { queue, ofKey, withoutKey } = build({ size: 3, isRejected: () => true });
    for (const name of ['a', 'b', 'c']) withoutKey(name);
    await queue.flush();
    for (const name of ['key 1', 'key 2', 'key 3', 'key 4']) ofKey(name);
    await queue.flush();
    expect(queue.dropped).toEqual({ ofKeys: 1, others: 3 });
  });
});

describe('one event that the sink always rejects', () => {
  const rejected = (names: readonly Name[]) => names.includes('bad');

  it.each([
    ['first', 0],
    ['in the middle', 350],
    ['last', 699],
  ])('does not keep back the others if it comes %s', async (_, at) => {
    const { queue, written, ofKey } = build({ size: 1_000, isRejected: rejected });
    const good = numbered(699).map((n) => `key ${n}`);
    for (const name of good.toSpliced(at, 0, 'bad')) ofKey(name);
    for (let interval = 0; interval < 3; interval++) await queue.flush();
    expect(written().toSorted()).toEqual(good.toSorted());
  });

  it('is dropped, counted and logged after it was rejected three times beside events that were taken', async () => {
    const { queue, written, ofKey, withoutKey } = build({ isRejected: rejected });
    withoutKey('bad');
    for (let interval = 0; interval < 6; interval++) {
      ofKey(`key ${interval}`);
      await queue.flush();
    }
    expect(written()).toEqual(numbered(6).map((n) => `key ${n}`));
    expect(queue.dropped).toEqual({ ofKeys: 0, others: 1 });
    expect(error.mock.calls.flat()).toEqual([
      'An event of refused requests was dropped, because the audit trail took others and rejected it 3 times: the sink is full',
    ]);
  });

  it('is retried for ever if no other event shows that the sink works', async () => {
    const { queue, withoutKey } = build({ isRejected: rejected });
    withoutKey('bad');
    for (let interval = 0; interval < 10; interval++) await queue.flush();
    expect(queue.dropped).toEqual({ ofKeys: 0, others: 0 });
  });

  it('may also be an event that cannot be built', async () => {
    const { queue, written, ofKey } = build();
    queue.add(() => {
      throw new Error('the row of the key is broken');
    }, true);
    for (let interval = 0; interval < 6; interval++) {
      ofKey(`key ${interval}`);
      await queue.flush();
    }
    expect(written()).toHaveLength(6);
    expect(queue.dropped.ofKeys).toBe(1);
  });
});
