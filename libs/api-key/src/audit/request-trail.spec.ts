import { Logger } from '@nestjs/common';
import { ApiKey } from '../model/api-key.entity';
import type { RequestEvent } from '../model/api-key.event';
import type { Announcer } from './announcer';
import { RequestTrail } from './request-trail';
import type { Trail } from './trail';

const CALLER = { route: 'OrdersController.list', address: '203.0.113.7', requestId: null };

/**
 * A trail into a list, which is handed over at the shutdown, and a key that counts how often it is
 * read.
 */
function build({ queueSize = 10, isHeard = false } = {}) {
  const told: RequestEvent[] = [];
  const announced: RequestEvent[] = [];
  const sink = {
    record: async (events: readonly unknown[]) => void told.push(...(events as RequestEvent[])),
  };
  const announcer = { isHeard, announce: (event: RequestEvent) => announced.push(event) };
  const trail = new RequestTrail(
    { audit: { refused: sink, accepted: 'off', changes: null, queueSize, flushIntervalMs: 1_000 } },
    {} as Trail,
    announcer as unknown as Announcer,
  );
  let reads = 0;
  const row = { id: '7', userId: '3', keyPrefix: 'key_3fKd', keySuffix: '9xQz' };
  const apiKey = new Proxy(Object.assign(new ApiKey(), row), {
    get: (target, name) => {
      reads += 1;
      return Reflect.get(target, name);
    },
  });
  const refuse = () => trail.refused({ reason: 'revoked', apiKey, masked: 'key_3fKd...9xQz' }, CALLER);
  return { trail, told, announced, refuse, reads: () => reads };
}

it('a refusal reads no field of the key: the event is built when it is handed over, and has the time of the refusal', async () => {
  const { trail, told, refuse, reads } = build();
  const before = Date.now();
  refuse();
  const after = Date.now();
  expect(reads()).toBe(0);
  await trail.onApplicationShutdown();
  expect(told).toEqual([
    {
      type: 'refused',
      keyId: '7',
      masked: 'key_3fKd...9xQz',
      userId: '3',
      actor: { type: 'key', id: '7' },
      address: '203.0.113.7',
      requestId: null,
      at: expect.any(Date),
      details: { reason: 'revoked', route: 'OrdersController.list' },
    },
  ]);
  const at = told[0]?.at.getTime() ?? 0;
  expect(before <= at && at <= after).toBe(true);
});

it('a dropped event is never built', async () => {
  const { trail, told, refuse, reads } = build({ queueSize: 1 });
  refuse();
  await trail.onApplicationShutdown();
  const ofOne = reads();
  for (let i = 0; i < 3; i++) refuse();
  await trail.onApplicationShutdown();
  expect(told).toHaveLength(2);
  expect(trail.dropped).toBe(2);
  expect(reads()).toBe(2 * ofOne);
});

it('a refusal is announced at once if the application has an event emitter', () => {
  const { announced, refuse } = build({ isHeard: true });
  refuse();
  expect(announced).toMatchObject([{ type: 'refused', keyId: '7', details: { reason: 'revoked' } }]);
});

it.each([
  'refused',
  'accepted',
] as const)('The log says that events of %s requests were dropped', async (type) => {
  const warn = jest.spyOn(Logger.prototype, 'warn').mockImplementation(() => {});
  const sink = { record: async () => {} };
  const trail = new RequestTrail(
    { audit: { refused: sink, accepted: sink, changes: null, queueSize: 1, flushIntervalMs: 1_000 } },
    {} as Trail,
    { isHeard: false } as Announcer,
  );
  const apiKey = Object.assign(new ApiKey(), {
    id: '7',
    userId: '3',
    keyPrefix: 'key_3fKd',
    keySuffix: '9xQz',
  });
  for (let i = 0; i < 3; i++)
    if (type === 'refused') trail.refused({ reason: 'revoked', apiKey, masked: 'key_3fKd...9xQz' }, CALLER);
    else trail.accepted(apiKey, CALLER);
  await trail.onApplicationShutdown();
  expect(warn.mock.calls).toEqual([[expect.stringMatching(`^2 events of ${type} requests were dropped`)]]);
  warn.mockRestore();
});
