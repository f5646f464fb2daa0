import { runOnHostileGround } from '../../support/hostile';

runOnHostileGround('a search path that a tenant left', [
  'service',
  'lifecycle',
  'quota',
  'shared-limits',
  'environments',
]);
