import { ApiKeyRefusal } from '../model/api-key.errors';
import { resolveOptions } from '../options/api-key.options';
import { RefusalDelay } from './refusal-delay';

const BEAT_MS = 10;
const REFUSAL = new ApiKeyRefusal('INVALID_API_KEY');

/** What went out so far, in order, of look-ups that a test answers. */
function build(lookUpTimeoutMs = 200) {
  const out: string[] = [];
  const delay = new RefusalDelay({ cache: { ...resolveOptions({}).cache, lookUpTimeoutMs } });
  const ask = (name: string) => {
    let letIn: (name: string) => void = () => {};
    let fail: (error: Error) => void = () => {};
    const entering = new Promise<string>((resolve, reject) => {
      letIn = resolve;
      fail = reject;
    });
    const held = delay.hold(entering);
    void held.then(
      (outcome) => out.push(outcome),
      (error: Error) => out.push(error === REFUSAL ? name : `${name}: ${error.message}`),
    );
    return {
      refuse: () => fail(REFUSAL),
      letIn: () => letIn(name),
      fail: (error = new Error('away')) => fail(error),
    };
  };
  return { out, ask };
}

const pass = (ms: number) => jest.advanceTimersByTimeAsync(ms);

beforeEach(() => jest.useFakeTimers());
afterEach(() => jest.useRealTimers());

it('accepted requests and errors are not delayed', async () => {
  const { out, ask } = build();
  ask('in').letIn();
  ask('broken').fail();
  await pass(0);
  expect(out).toEqual(['in', 'broken: away']);
});

it('refusals that took different times are released on one tick, in the order of their requests', async () => {
  const { out, ask } = build();
  const [first, second, third] = [ask('first'), ask('second'), ask('third')];
  third.refuse();
  await pass(1);
  first.refuse();
  await pass(2 * BEAT_MS - 2);
  second.refuse();
  expect(out).toEqual([]);
  await pass(1);
  expect(out).toEqual(['first', 'second', 'third']);
});

it('a refusal just before a tick waits for the second tick after it, however long the request took before', async () => {
  const { out, ask } = build();
  const slow = ask('slow');
  await pass(BEAT_MS - 1);
  ask('late').refuse();
  await pass(BEAT_MS);
  expect(out).toEqual([]);
  await pass(1);
  expect(out).toEqual(['late']);
  await pass(1);
  ask('later').refuse();
  await pass(2 * BEAT_MS - 2);
  expect(out).toEqual(['late']);
  await pass(1);
  expect(out).toEqual(['late', 'later']);
  slow.refuse();
  await pass(BEAT_MS);
  expect(out).toEqual(['late', 'later', 'slow']);
});

it('the timer stops if no refusal waits, and starts with the next refusal', async () => {
  const { out, ask } = build();
  ask('in').letIn();
  await pass(BEAT_MS);
  expect(jest.getTimerCount()).toBe(0);
  ask('out').refuse();
  await pass(2 * BEAT_MS);
  expect(out).toEqual(['in', 'out']);
  expect(jest.getTimerCount()).toBe(0);
});

it.each<[string, Error]>([
  ['a key that is not allowed from this address', new ApiKeyRefusal('IP_NOT_ALLOWED')],
  [
    'a malformed key',
    new ApiKeyRefusal('INVALID_API_KEY', { refused: { reason: 'malformed', apiKey: null, masked: null } }),
  ],
])('the refusal of %s is not delayed', async (_, refusal) => {
  const { out, ask } = build();
  ask('refused').fail(refusal);
  await pass(0);
  expect(out).toEqual([`refused: ${refusal.message}`]);
});

it('the tick is shorter than a short deadline', async () => {
  const { out, ask } = build(20);
  ask('refused').refuse();
  await pass(9);
  expect(out).toEqual([]);
  await pass(1);
  expect(out).toEqual(['refused']);
});
