import { Logger } from '@nestjs/common';
import { IntervalWriter } from './interval-writer';
import { writeInTime } from './write-in-time';

/** Writes for as long as a test likes. */
class Writer extends IntervalWriter {
  readonly writes: (() => void)[] = [];

  constructor() {
    super('What a test notes', 1_000);
  }

  protected override write(): Promise<void> {
    return writeInTime(new Promise<void>((resolve) => this.writes.push(resolve)));
  }
}

beforeEach(() => {
  jest.useFakeTimers();
});

afterEach(() => {
  jest.useRealTimers();
  jest.restoreAllMocks();
});

it('a write that never settles is abandoned after ten seconds, logged once, and followed by the next write', async () => {
  const warn = jest.spyOn(Logger.prototype, 'warn').mockImplementation(() => {});
  const writer = new Writer();
  void writer.flush();
  await jest.advanceTimersByTimeAsync(0);
  const next = writer.flush();
  await jest.advanceTimersByTimeAsync(9_900);
  expect(writer.writes).toHaveLength(1);
  await jest.advanceTimersByTimeAsync(200);
  expect(writer.writes).toHaveLength(2);
  writer.writes[1]?.();
  await next;
  expect(warn.mock.calls.flat()).toEqual([
    'What a test notes could not be written and will be retried: no answer within 10000 ms',
  ]);
});

it('all calls that wait for a write share the next write, which begins after their values were collected', async () => {
  const writer = new Writer();
  void writer.flush();
  await jest.advanceTimersByTimeAsync(0);
  const waiting = Promise.all(Array.from({ length: 300 }, () => writer.flush()));
  writer.writes[0]?.();
  await jest.advanceTimersByTimeAsync(0);
  expect(writer.writes).toHaveLength(2);
  const later = writer.flush();
  writer.writes[1]?.();
  await waiting;
  await jest.advanceTimersByTimeAsync(0);
  expect(writer.writes).toHaveLength(3);
  writer.writes[2]?.();
  await later;
});

it('a write that never settles does not block the shutdown of the application', async () => {
  jest.spyOn(Logger.prototype, 'warn').mockImplementation(() => {});
  const writer = new Writer();
  writer.onApplicationBootstrap();
  await jest.advanceTimersByTimeAsync(60_000);
  const ended = writer.onApplicationShutdown();
  await jest.advanceTimersByTimeAsync(20_100);
  await ended;
  expect(writer.writes.length).toBeGreaterThan(1);
});
