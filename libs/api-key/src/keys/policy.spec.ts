import { ApiKeyPolicyError } from '../model/api-key.errors';
import {
  changedExpiry,
  expiryOfNew,
  type LifetimePolicy,
  permittedExpiry,
  successorExpiry,
  unusedEnd,
} from './policy';

const DAY_MS = 86_400_000;
const NOW = new Date('2030-01-01T00:00:00Z');
const inDays = (days: number) => new Date(NOW.getTime() + days * DAY_MS);
const FREE: LifetimePolicy = { maxLifetimeDays: null, defaultLifetimeDays: null, allowNever: true };
const MAX: LifetimePolicy = { maxLifetimeDays: 90, defaultLifetimeDays: null, allowNever: false };
const DEFAULT: LifetimePolicy = { maxLifetimeDays: 90, defaultLifetimeDays: 30, allowNever: false };
const MUST_EXPIRE: LifetimePolicy = { ...FREE, allowNever: false };

function ruleOf(judge: () => unknown): string {
  try {
    judge();
    return 'allowed';
  } catch (error) {
    if (error instanceof ApiKeyPolicyError) return error.rule;
    throw error;
  }
}

it.each<[string, LifetimePolicy, Date | null, Date | null]>([
  ['never expires without a policy', FREE, null, null],
  ['expires with the acting key without a policy', FREE, inDays(5), inDays(5)],
  ['lives as long as allowed without a default', MAX, null, inDays(90)],
  ['lives for the default', DEFAULT, null, inDays(30)],
  ['lives no longer than the acting key', DEFAULT, inDays(5), inDays(5)],
  ['does not live as long as an acting key that lives longer', DEFAULT, inDays(60), inDays(30)],
  ['lives as long as the acting key if it must expire', MUST_EXPIRE, inDays(5), inDays(5)],
])('a new key without a given expiry %s', (_, policy, bound, expected) => {
  expect(expiryOfNew(undefined, bound, NOW, policy)).toEqual(expected);
});

it.each<[LifetimePolicy, Date | null | undefined, string]>([
  [FREE, null, 'allowed'],
  [FREE, inDays(36_500), 'allowed'],
  [MAX, null, 'allowNever'],
  [MAX, inDays(90), 'allowed'],
  [MAX, new Date(inDays(90).getTime() + 60_000), 'allowed'],
  [MAX, new Date(inDays(90).getTime() + 60_001), 'maxLifetimeDays'],
  [MUST_EXPIRE, null, 'allowNever'],
  [MUST_EXPIRE, undefined, 'allowNever'],
  [MUST_EXPIRE, inDays(36_500), 'allowed'],
])('%j judges a new key that expires at %p: %s', (policy, asked, rule) => {
  expect(ruleOf(() => expiryOfNew(asked, null, NOW, policy))).toBe(rule);
});

it('an expiry that is late by the clock of the caller is shortened to the longest lifetime', () => {
  expect(permittedExpiry(new Date(inDays(90).getTime() + 59_000), NOW, MAX)).toEqual(inDays(90));
});

it.each<[string, Date | null, Date | null, string]>([
  ['may get the expiry that it has, beyond the policy', inDays(500), inDays(500), 'allowed'],
  ['may expire earlier, still beyond the policy', inDays(500), inDays(400), 'allowed'],
  ['may expire earlier if it never expired', null, inDays(400), 'allowed'],
  ['may go on to never expire', null, null, 'allowed'],
  ['cannot expire later beyond the policy', inDays(500), inDays(501), 'maxLifetimeDays'],
  ['cannot begin to never expire', inDays(5), null, 'allowNever'],
  ['may expire later within the policy', inDays(5), inDays(80), 'allowed'],
  ['cannot expire later than its creation allows', inDays(5), inDays(81), 'maxLifetimeDays'],
])('a stored key of 10 days ago %s', (_, expiresAt, asked, rule) => {
  const before = { expiresAt, enabledExpiresAt: null, createdAt: inDays(-10) };
  expect(ruleOf(() => changedExpiry(asked, before, MAX))).toBe(rule);
});

it.each<[string, Date | null, Date | null, string]>([
  ['may expire as before', inDays(500), inDays(5), 'allowed'],
  ['may expire later within the policy', null, inDays(80), 'allowed'],
  ['cannot expire earlier than now and later than before', inDays(500), inDays(400), 'maxLifetimeDays'],
  ['cannot expire earlier than never and later than before', null, inDays(400), 'maxLifetimeDays'],
  ['cannot go on to never expire', null, null, 'allowNever'],
])('a stored key of 10 days ago whose expiry was 5 days ahead when it was disabled %s', (_, expiresAt, asked, rule) => {
  const before = { expiresAt, enabledExpiresAt: inDays(5), createdAt: inDays(-10) };
  expect(ruleOf(() => changedExpiry(asked, before, MAX))).toBe(rule);
});

it('a stored key whose creation is unknown cannot expire later', () => {
  const before = { expiresAt: inDays(1), enabledExpiresAt: null, createdAt: new Date(Number.NaN) };
  expect(ruleOf(() => changedExpiry(inDays(2), before, MAX))).toBe('maxLifetimeDays');
});

it.each<[string, LifetimePolicy, Date | null, Date | null, Date | null]>([
  ['the same lifetime', MAX, inDays(20), null, inDays(20)],
  ['no longer lifetime than allowed', MAX, inDays(500), null, inDays(90)],
  ['the default lifetime if the old key never expired', DEFAULT, null, null, inDays(30)],
  ['the longest lifetime if there is no default', MAX, null, null, inDays(90)],
  ['no expiry if that is allowed', FREE, null, null, null],
  ['no expiry if that is allowed, beside a default', { ...FREE, defaultLifetimeDays: 30 }, null, null, null],
  ['no longer lifetime than the acting key', MAX, inDays(20), inDays(5), inDays(5)],
  ['the expiry of the acting key if it must expire', MUST_EXPIRE, null, inDays(5), inDays(5)],
])('a successor gets %s', (_, policy, sameLife, bound, expected) => {
  expect(successorExpiry(sameLife, bound, NOW, policy)).toEqual(expected);
});

it('a successor that must expire is refused if nothing says when', () => {
  expect(ruleOf(() => successorExpiry(null, null, NOW, MUST_EXPIRE))).toBe('allowNever');
});

it.each<[string, number | null, Date | null, Date | null]>([
  ['never without the rule', null, null, null],
  ['counted from its creation', 90, null, inDays(80)],
  ['counted from its last use', 90, inDays(-1), inDays(89)],
  ['counted from its creation if the last use is earlier', 90, inDays(-20), inDays(80)],
])('a key of 10 days ago ends unused %s', (_, endUnusedAfterDays, lastUsedAt, expected) => {
  expect(unusedEnd({ lastUsedAt, createdAt: inDays(-10) }, { endUnusedAfterDays })).toEqual(expected);
});
