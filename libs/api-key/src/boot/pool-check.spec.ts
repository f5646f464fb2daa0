import type { DataSource } from 'typeorm';
import { PoolCheck } from './pool-check';

const warningsOf = (driver: object) => new PoolCheck({ driver } as DataSource).warnings();

it('a pool with several connections and both deadlines gives no warning', () => {
  const options = { max: 10, connectionTimeoutMillis: 5_000, query_timeout: 15_000 };
  expect(warningsOf({ master: { options } })).toEqual([]);
});

it('a pool with one connection gives a warning', () => {
  const options = { max: 1, connectionTimeoutMillis: 5_000, query_timeout: 15_000 };
  expect(warningsOf({ master: { options } })).toEqual([expect.stringContaining('set poolSize: 4 or more')]);
});

it.each([
  ['a data source that has no pool', {}],
  ['a pool that shows no options', { master: {} }],
])('%s gives the warning about deadlines', (_, driver) => {
  expect(warningsOf(driver)).toEqual([expect.stringContaining('set connectTimeoutMS')]);
});
