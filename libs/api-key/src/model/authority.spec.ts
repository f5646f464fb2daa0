import { type Authority, excessOf, ownShare } from './authority';

const FREE: Authority = {
  scopes: ['*'],
  allowedIps: null,
  expiresAt: null,
  rateLimit: null,
  quota: null,
  sharedLimits: null,
};
const PER_HOUR = { limit: 100, windowSeconds: 3_600 };
const at = (year: number) => new Date(Date.UTC(year, 0));

function problems(
  given: Partial<Authority>,
  bound: Partial<Authority>,
  isShared = true,
  defaults = [] as never[],
) {
  return excessOf({ ...FREE, ...given }, { ...FREE, ...bound }, { defaults, isShared }).problems.map(
    (problem) => problem.split(' ')[0],
  );
}

describe('an authority', () => {
  it.each<[string, Partial<Authority>, Partial<Authority>]>([
    ['the same', {}, {}],
    ['fewer scopes', { scopes: ['orders:read'] }, { scopes: ['orders:*'] }],
    ['no scopes', { scopes: [] }, { scopes: [] }],
    [
      'addresses within its blocks',
      { allowedIps: ['10.1.0.0/16', '::1'] },
      { allowedIps: ['10.0.0.0/8', '::/0'] },
    ],
    ['an earlier end', { expiresAt: at(2030) }, { expiresAt: at(2031) }],
    ['the same end', { expiresAt: at(2030) }, { expiresAt: at(2030) }],
    ['a lower limit', { rateLimit: { ...PER_HOUR, limit: 99 } }, { rateLimit: PER_HOUR }],
    ['a smaller quota', { quota: { limit: 1, period: 'day' } }, { quota: { limit: 2, period: 'day' } }],
    [
      'the same quota per month',
      { quota: { limit: 2, period: 'month' } },
      { quota: { limit: 2, period: 'day' } },
    ],
    ['an expiry where the other has none', { expiresAt: at(2030) }, {}],
  ])('is within another authority: %s', (_, given, bound) => {
    expect(problems(given, bound)).toEqual([]);
    expect(problems(given, bound, false)).toEqual([]);
  });

  it.each<[string, Partial<Authority>, Partial<Authority>]>([
    ['scopes', { scopes: ['orders:read', 'users:read'] }, { scopes: ['orders:*'] }],
    ['allowedIps', { allowedIps: null }, { allowedIps: ['10.0.0.0/8'] }],
    ['allowedIps', { allowedIps: ['10.0.0.0/7'] }, { allowedIps: ['10.0.0.0/8'] }],
    ['expiresAt', { expiresAt: null }, { expiresAt: at(2030) }],
    ['expiresAt', { expiresAt: at(2031) }, { expiresAt: at(2030) }],
    ['rateLimit', { rateLimit: null }, { rateLimit: PER_HOUR }],
    ['rateLimit', { rateLimit: { ...PER_HOUR, limit: 101 } }, { rateLimit: PER_HOUR }],
    ['rateLimit', { rateLimit: { limit: 100, windowSeconds: 3_599 } }, { rateLimit: PER_HOUR }],
    ['quota', { quota: null }, { quota: { limit: 1, period: 'day' } }],
    ['quota', { quota: { limit: 2, period: 'day' } }, { quota: { limit: 61, period: 'month' } }],
    ['rateLimit', {}, { sharedLimits: ownShare({ ...FREE, rateLimit: PER_HOUR }, '1') }],
    ['quota', {}, { sharedLimits: ownShare({ ...FREE, quota: { limit: 1, period: 'day' } }, '1') }],
  ])('exceeds another authority in %s: %j exceeds %j', (field, given, bound) => {
    expect(problems(given, bound)).toEqual([field]);
  });

  it('lists every excess and the missing scopes', () => {
    const bound = { ...FREE, scopes: ['a'], expiresAt: at(2030), rateLimit: PER_HOUR };
    const excess = excessOf({ ...FREE, scopes: ['a', 'b'] }, bound, { defaults: [], isShared: true });
    expect(excess.missing).toEqual(['b']);
    expect(excess.problems).toHaveLength(3);
  });

  it('is within another authority only if it also counts on the limits of that authority', () => {
    const limits = [{ rateLimit: { limit: 1, windowSeconds: 36 } }, { rateLimit: PER_HOUR }] as const;
    const quotas = [
      { quota: { limit: 2, period: 'day' } },
      { quota: { limit: 62, period: 'month' } },
    ] as const;
    for (const [given, bound] of [limits, quotas]) {
      expect(problems(given, bound, true)).toEqual([]);
      expect(problems(given, bound, false)).toHaveLength(1);
    }
  });

  it('without its own limit has all default limits', () => {
    const defaults = [PER_HOUR, { limit: 10, windowSeconds: 60 }].map((rate) => ({
      ...rate,
      isConditional: false,
    })) as never[];
    expect(problems({}, {}, true, defaults)).toEqual([]);
    expect(problems({}, { rateLimit: { limit: 10, windowSeconds: 60 } }, true, defaults)).toEqual([]);
    expect(problems({ rateLimit: PER_HOUR }, {}, true, defaults)).toEqual(['rateLimit']);
    expect(problems({ rateLimit: { limit: 10, windowSeconds: 60 } }, {}, true, defaults)).toEqual([
      'rateLimit',
    ]);
    expect(problems({ rateLimit: { limit: 10, windowSeconds: 3_600 } }, {}, true, defaults)).toEqual([]);
  });

  it('with a default that does not always count is limited by it, and that default replaces no other limit', () => {
    const defaults = [{ ...PER_HOUR, isConditional: true }] as never[];
    expect(problems({}, {}, true, defaults)).toEqual([]);
    expect(problems({}, { rateLimit: PER_HOUR }, true, defaults)).toEqual(['rateLimit']);
    expect(problems({ rateLimit: { ...PER_HOUR, limit: 101 } }, {}, true, defaults)).toEqual(['rateLimit']);
  });
});
