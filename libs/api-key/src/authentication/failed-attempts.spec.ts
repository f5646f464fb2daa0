import { Logger } from '@nestjs/common';
import { FailedAttempts } from './failed-attempts';

const OPTIONS = { limit: 3, windowSeconds: 60, maxAddresses: 100 };

let now: number;
let warnings: jest.SpyInstance;

beforeEach(() => {
  now = 0;
  warnings = jest.spyOn(Logger.prototype, 'warn').mockImplementation(() => {});
});

afterEach(() => jest.restoreAllMocks());

function attemptsWith(options = {}): FailedAttempts {
  return new FailedAttempts({ failedAttempts: { ...OPTIONS, ...options } }, () => now);
}

/** How the look-ups of so many requests of an address go out, one after the other. */
async function ways(attempts: FailedAttempts, address: string | null, count: number, isRefused = true) {
  const found: string[] = [];
  for (let i = 0; i < count; i++)
    await attempts.watch(
      address,
      async (way) => void found.push(way),
      () => isRefused,
    );
  return found;
}

const ALONE_3 = ['alone', 'alone', 'alone'];

it('the first refused look-ups of an address are sent alone, and later ones are batched', async () => {
  expect(await ways(attemptsWith(), '203.0.113.7', 5)).toEqual([...ALONE_3, 'together', 'together']);
});

it('look-ups that find a valid key are not counted', async () => {
  const attempts = attemptsWith();
  expect(await ways(attempts, '203.0.113.7', 50, false)).not.toContain('together');
  expect(await ways(attempts, '203.0.113.7', 4)).toEqual([...ALONE_3, 'together']);
});

it('each IPv4 address has its own count, and an IPv6 network shares one', async () => {
  const attempts = attemptsWith();
  await ways(attempts, '203.0.113.7', 3);
  expect(await ways(attempts, '203.0.113.8', 3)).toEqual(ALONE_3);
  await ways(attempts, '2001:db8::1', 3);
  expect(await ways(attempts, '2001:db8::2', 1)).toEqual(['together']);
  expect(await ways(attempts, '2001:db8:0:1::1', 1)).toEqual(['alone']);
});

it('requests with an unknown address share one count', async () => {
  const attempts = attemptsWith();
  expect(await ways(attempts, null, 4)).toEqual([...ALONE_3, 'together']);
});

it('look-ups are sent alone again after the window', async () => {
  const attempts = attemptsWith();
  await ways(attempts, '203.0.113.7', 4);
  now = 60_000;
  expect(await ways(attempts, '203.0.113.7', 1)).toEqual(['alone']);
});

it('a look-up counts while it is in flight, until it finds a valid key or fails', async () => {
  const attempts = attemptsWith();
  const found: string[] = [];
  const land: (() => void)[] = [];
  const begin = () =>
    attempts.watch(
      '203.0.113.7',
      (way) => {
        found.push(way);
        return new Promise<void>((resolve, reject) => land.push(found.length > 1 ? resolve : reject));
      },
      () => false,
    );
  const flights = [begin(), begin(), begin(), begin()];
  expect(found).toEqual([...ALONE_3, 'together']);
  for (const arrive of land) arrive();
  await Promise.allSettled(flights);
  expect(await ways(attempts, '203.0.113.7', 1)).toEqual(['alone']);
});

it('without a limit each look-up is sent alone, and nothing is counted', async () => {
  expect(await ways(attemptsWith({ limit: null }), '203.0.113.7', 500)).not.toContain('together');
});

it('a flood is logged once per window, with its address and without the presented text', async () => {
  const attempts = attemptsWith();
  await ways(attempts, '203.0.113.7', 50);
  await ways(attempts, null, 50);
  expect(warnings).toHaveBeenCalledTimes(1);
  expect(warnings).toHaveBeenCalledWith(
    expect.stringMatching(/^203\.0\.113\.7\S* sent many keys that are unknown, expired or revoked \(/),
  );
  now = 60_000;
  await ways(attempts, null, 50);
  expect(warnings).toHaveBeenLastCalledWith(expect.stringContaining('An unknown address'));
});
