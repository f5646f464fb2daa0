import { SharedCheck } from './shared-check';

const PAUSE_MS = 100;

/** Builds a check whose runs end when the test ends them. */
function build() {
  const runs: { resolve: () => void; reject: (error: Error) => void }[] = [];
  const shared = new SharedCheck(
    () => new Promise<void>((resolve, reject) => runs.push({ resolve, reject })),
    PAUSE_MS,
  );
  const started = async (count: number) => {
    await jest.advanceTimersByTimeAsync(0);
    expect(runs).toHaveLength(count);
  };
  return { shared, runs, started };
}

beforeEach(() => {
  jest.useFakeTimers();
});

afterEach(() => {
  jest.useRealTimers();
});

it('one run serves all who ask until it ends', async () => {
  const { shared, runs, started } = build();
  const asked = Array.from({ length: 600 }, () => shared.pass());
  await started(1);
  runs[0]?.resolve();
  await Promise.all(asked);
  await started(1);
});

it('a failed run is an error for all who asked, and the next who asks starts another', async () => {
  const { shared, runs, started } = build();
  const asked = [shared.pass(), shared.pass()].map((one) => one.catch(({ message }) => message));
  await started(1);
  runs[0]?.reject(new Error('away'));
  expect(await Promise.all(asked)).toEqual(['away', 'away']);
  await jest.advanceTimersByTimeAsync(PAUSE_MS);
  const again = shared.pass();
  await started(2);
  runs[1]?.resolve();
  await again;
});

it('who asks after a run gets no result of it, but waits for the next one, which starts after the pause', async () => {
  const { shared, runs, started } = build();
  const first = shared.pass();
  await started(1);
  runs[0]?.resolve();
  await first;
  const second = shared.pass().catch(({ message }) => message);
  await jest.advanceTimersByTimeAsync(PAUSE_MS - 1);
  await started(1);
  await jest.advanceTimersByTimeAsync(1);
  await started(2);
  runs[1]?.reject(new Error('away'));
  expect(await second).toBe('away');
});

it('who asks after the pause is served at once', async () => {
  const { shared, runs, started } = build();
  const first = shared.pass();
  await started(1);
  runs[0]?.resolve();
  await first;
  await jest.advanceTimersByTimeAsync(PAUSE_MS);
  void shared.pass();
  await started(2);
});
