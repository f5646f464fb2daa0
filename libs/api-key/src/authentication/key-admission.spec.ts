import { ApiKey } from '../model/api-key.entity';
import { ApiKeyRefusal } from '../model/api-key.errors';
import type { Eventually } from '../model/eventually';
import { KeyAdmission } from './key-admission';
import { type InvalidKey, type KeyJudge, MALFORMED } from './key-verifier';

const VALID = new ApiKey();
const REVOKED: InvalidKey = { reason: 'revoked', apiKey: VALID, masked: 'acme...wxyz' };
const GONE = new ApiKeyRefusal('INVALID_API_KEY');
const BEAT_MS = 10;

/** Of a key that is judged so: what comes of it, and when the beat lets it out. */
function admit(judged: Eventually<ApiKey | InvalidKey>, enter: () => Eventually<string>, timeoutMs = 200) {
  const judge = { judge: () => judged } as unknown as KeyJudge;
  return new KeyAdmission(judge, timeoutMs).admit('key', {}, enter, null);
}

const never = () => {
  throw new Error('a key that is not valid was let in');
};

/** Whether it had settled before the beat, and how it settled. */
async function outcomeOf(entering: Promise<unknown>) {
  let early = true;
  let isEarly: boolean | undefined;
  const settled = entering.then(
    (value) => {
      isEarly = early;
      return value;
    },
    (error: unknown) => {
      isEarly = early;
      return error;
    },
  );
  await jest.advanceTimersByTimeAsync(2 * BEAT_MS - 1);
  early = false;
  await jest.advanceTimersByTimeAsync(1);
  return [isEarly, await settled];
}

beforeEach(() => jest.useFakeTimers());
afterEach(() => jest.useRealTimers());

it('what is no key is refused at once', () => {
  expect(() => admit(MALFORMED, never)).toThrow(expect.objectContaining({ code: 'INVALID_API_KEY' }));
});

it('a valid key that is remembered, and all that is asked of it, is let in without a promise', () => {
  const enter = jest.fn(() => 'in');
  expect(admit(VALID, enter)).toBe('in');
  expect(enter).toHaveBeenCalledWith(VALID, null);
});

it.each<[string, Eventually<ApiKey | InvalidKey>, () => Eventually<string>]>([
  ['remembered', VALID, async () => 'in'],
  ['looked up', Promise.resolve(VALID), () => 'in'],
])('a valid key that is %s waits for no beat', async (_, judged, enter) => {
  expect(await outcomeOf(admit(judged, enter) as Promise<string>)).toEqual([true, 'in']);
});

it.each<[string, () => Eventually<ApiKey | InvalidKey>, () => Eventually<string>]>([
  ['revoked and remembered', () => REVOKED, never],
  ['revoked and looked up', async () => REVOKED, never],
  [
    'of an owner who is gone at once',
    () => VALID,
    () => {
      throw GONE;
    },
  ],
  ['of an owner who is asked for', () => VALID, () => Promise.reject(GONE)],
  ['looked up, of an owner who is gone', async () => VALID, () => Promise.reject(GONE)],
])('a key that is %s is refused with the beat', async (_, judged, enter) => {
  const outcome = await outcomeOf(admit(judged(), enter) as Promise<string>);
  expect(outcome).toEqual([false, expect.objectContaining({ code: 'INVALID_API_KEY' })]);
});

it('any other refusal of a valid key waits for none', async () => {
  const refusal = new ApiKeyRefusal('IP_NOT_ALLOWED');
  const enter = () => {
    throw refusal;
  };
  expect(await outcomeOf(admit(VALID, enter) as Promise<string>)).toEqual([true, refusal]);
});

it('a beat is a part of a short deadline', async () => {
  let isOut = false;
  Promise.resolve(admit(REVOKED, never, 20)).catch(() => {
    isOut = true;
  });
  await jest.advanceTimersByTimeAsync(9);
  expect(isOut).toBe(false);
  await jest.advanceTimersByTimeAsync(1);
  expect(isOut).toBe(true);
});
