import { beHostile, HOSTILITIES } from '../support/hostile';

const NAME = process.env.HOSTILITY as keyof typeof HOSTILITIES;
describe.each([NAME])('with %s', () => {
  beHostile(HOSTILITIES[NAME]);
  for (const spec of [
    'service',
    'lifecycle',
    'management',
    'trail',
    'usage',
    'quota',
    'rate-limit-shared',
    'lineage',
    'shared-limits',
    'authority',
    'import',
    'pepper',
    'last-used',
    'never-stale',
  ])
    describe(spec, () => void require(`../${spec}.spec`));
});
