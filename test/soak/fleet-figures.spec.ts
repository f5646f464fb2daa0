import { printFigure, printSpread } from '../support/figures';
import type { FlakyProxy } from '../support/flaky-proxy';
import { Fleet, type MemberSettings } from '../support/fleet';
import { type Call, Load } from '../support/load';
import { until } from '../support/until';

const FOUR: readonly MemberSettings[] = [
  { adapter: 'express' },
  { adapter: 'fastify' },
  { adapter: 'express' },
  { adapter: 'fastify' },
];
const PER_SECOND = 200;
const REVOCATIONS = 500;

let fleet: Fleet;
let load: Load | undefined;

const LEASE_MS = 2_000;

const TAKE_AWAY = {
  stopped: (proxy: FlakyProxy) => proxy.cut(),
  silent: async (proxy: FlakyProxy) => proxy.silence('all'),
  swallowing: async (proxy: FlakyProxy) => proxy.swallow(),
};

const everyMember = (holds: (member: number) => boolean) => fleet.urls.every((_, member) => holds(member));

beforeAll(async () => {
  fleet = await Fleet.start(FOUR);
});

afterEach(async () => {
  await load?.stop();
  load = undefined;
});

afterAll(() => fleet.stop());

it('Each of 500 plain revocations reaches four instances under load', async () => {
  const issued = await fleet.issue(REVOCATIONS);
  let current = '';
  const lags: number[] = [];
  for (const { key, apiKey } of issued) {
    await fleet.warm([key]);
    current = key;
    load ??= new Load(fleet.urls, PER_SECOND, () => current);
    const { calls } = load;
    const before = calls.length;
    const under = () => calls.slice(before).filter((made) => made.key === key);
    await until(() => everyMember((member) => under().some((made) => made.at === member)));
    await fleet.keys.revoke(apiKey.id);
    const acknowledged = performance.now();
    await until(() =>
      everyMember((member) => under().findLast((made) => made.at === member)?.status === 401),
    );
    lags.push(lagOf(under(), acknowledged));
  }
  await load?.stop();
  expect(lags).toHaveLength(REVOCATIONS);
  printSpread('from the acknowledgement of revoke to the start of the last accepted request', lags, 100);
});

function lagOf(calls: readonly Call[], acknowledged: number): number {
  const accepted = calls.filter(({ status }) => status === 200).map(({ startedAt }) => startedAt);
  return Math.max(0, ...accepted.map((startedAt) => startedAt - acknowledged));
}

it.each([
  'stopped',
  'silent',
  'swallowing',
] as const)('A database that is %s makes four instances under load answer 503, until it is back', async (how) => {
  const issued = await fleet.issue(50);
  await fleet.warm(issued.map(({ key }) => key));
  let next = 0;
  load = new Load(fleet.urls, PER_SECOND, () => issued[next++ % issued.length]?.key ?? '');
  const { calls } = load;
  const answered = (member: number, status: number, since: number) =>
    calls.filter((made) => made.at === member && made.status === status && made.startedAt > since).length;
  const proxies = fleet.urls.map((_, member) => fleet.member(member).proxy);
  const away = performance.now();
  await Promise.all(proxies.map((proxy) => TAKE_AWAY[how](proxy)));
  await until(() => everyMember((member) => answered(member, 503, away) > 400));
  const back = performance.now();
  await Promise.all(proxies.map((proxy) => proxy.mend()));
  await until(() => everyMember((member) => answered(member, 200, back) > 100));
  await load.stop();
  const refused = calls.filter(({ status }) => status === 503);
  const took = (some: readonly Call[]) => some.map(({ startedAt, endedAt }) => endedAt - startedAt);
  const whileAway = took(refused.filter(({ endedAt }) => endedAt < back));
  printSpread(`503 while a database is ${how}`, whileAway, 250);
  printSpread('503 while it comes back', took(refused.filter(({ endedAt }) => endedAt >= back)));
  const meanwhile = calls.filter(({ endedAt }) => endedAt < back);
  const since = Math.max(
    ...meanwhile.filter(({ status }) => status === 200).map(({ startedAt }) => startedAt),
  );
  expect(meanwhile.filter(({ startedAt, status }) => startedAt > since && status !== 503)).toEqual([]);
  printFigure(`last 200 after a database is ${how}`, since - away, 'ms', LEASE_MS);
  expect(new Set(calls.map(({ status }) => status))).toEqual(new Set([200, 503]));
});
