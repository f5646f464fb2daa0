import { ApiKey } from '../model/api-key.entity';
import { acceptsEnvironment, environmentsAccepted, wrongEnvironment } from './route-environment';

const keyOf = (environment: string | null) =>
  Object.assign(new ApiKey(), { environment, keyPrefix: 'acme_test_ab12', keySuffix: null });

it.each<[string, string[][], string[] | null]>([
  ['no decorator', [], null],
  ['one decorator', [['live', 'test', 'live']], ['live', 'test']],
  [
    'a class and a method',
    [
      ['live', 'test'],
      ['test', 'dev'],
    ],
    ['test'],
  ],
  ['decorators that exclude each other', [['live'], ['test']], []],
])('a route with %s accepts the environments that all of its decorators name', (_, environments, accepted) => {
  expect(environmentsAccepted({ environments })).toEqual(accepted);
  for (const environment of ['live', 'test', 'dev']) {
    const isAccepted = accepted === null || accepted.includes(environment);
    expect(acceptsEnvironment({ environments }, keyOf(environment))).toBe(isAccepted);
    expect(wrongEnvironment({ environments }, keyOf(environment)) === null).toBe(isAccepted);
  }
});

it('a key without an environment is accepted only by routes without @Environments', () => {
  expect(acceptsEnvironment({ environments: [] }, keyOf(null))).toBe(true);
  expect(acceptsEnvironment({ environments: [['live']] }, keyOf(null))).toBe(false);
});
