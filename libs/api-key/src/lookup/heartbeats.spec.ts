import type { Moment } from './clock';
import { Heartbeats } from './heartbeats';

let done: string[];
let heartbeats: Heartbeats;

beforeEach(() => {
  done = [];
  heartbeats = new Heartbeats('', {
    clear: () => void done.push('clear'),
    renew: ({ monotonic }) => void done.push(`renew from ${monotonic}`),
  });
});

const at = (monotonic: number): Moment => ({ monotonic, wall: monotonic });

it.each([
  ['its notification arrives before its rows', ['arrive', 'read']],
  ['its rows arrive before its notification', ['read', 'arrive']],
])('a heartbeat renews the lease from when it was sent, once, if %s', (_, steps) => {
  const number = heartbeats.begin(at(10));
  for (const step of steps) {
    expect(done).toEqual([]);
    if (step === 'arrive') heartbeats.arrive(number);
    else heartbeats.read(number, '');
  }
  heartbeats.arrive(number);
  heartbeats.read(number, '');
  expect(done).toEqual(['renew from 10']);
});

it('a silent change is handled before the lease is renewed, also if the notification came first', () => {
  const number = heartbeats.begin(at(10));
  heartbeats.arrive(number);
  heartbeats.read(number, '731');
  expect(done).toEqual(['clear', 'renew from 10']);
});

it('a silent change after the rows of a heartbeat is handled before the next heartbeat counts', () => {
  const first = heartbeats.begin(at(10));
  heartbeats.read(first, '');
  heartbeats.arrive(first);
  const second = heartbeats.begin(at(20));
  heartbeats.arrive(second);
  expect(done).toEqual(['renew from 10']);
  heartbeats.read(second, '731');
  expect(done).toEqual(['renew from 10', 'clear', 'renew from 20']);
});

it('known silent changes do not clear the cache again, and any other text does, also a shorter one', () => {
  for (const silentChanges of ['731', '731', '731,735', '740', '740'])
    heartbeats.read(heartbeats.begin(at(10)), silentChanges);
  expect(done).toEqual(['clear', 'clear', 'clear']);
});

it('silent changes from before a session do not clear the cache', () => {
  const began = new Heartbeats('731', { clear: () => void done.push('clear'), renew: () => {} });
  began.read(began.begin(at(10)), '731');
  expect(done).toEqual([]);
});

it('notifications may arrive several heartbeats late, and each renews the lease from its own heartbeat', () => {
  const numbers = [10, 20, 30].map((moment) => heartbeats.begin(at(moment)));
  for (const number of numbers) heartbeats.read(number, '731');
  for (const number of numbers) heartbeats.arrive(number);
  expect(done).toEqual(['clear', 'renew from 10', 'renew from 20', 'renew from 30']);
});

it('a heartbeat that could not be sent renews nothing and is not waited for', () => {
  const failed = heartbeats.begin(at(10));
  heartbeats.fail(failed);
  expect(heartbeats.oldest).toBeUndefined();
  const next = heartbeats.begin(at(20));
  expect(heartbeats.oldest).toEqual(at(20));
  heartbeats.arrive(failed);
  heartbeats.arrive('of another session');
  heartbeats.read(next, '731');
  heartbeats.arrive(next);
  expect(done).toEqual(['clear', 'renew from 20']);
});
